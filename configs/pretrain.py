"""Language-model pretraining (Bai et al. 2022, section 3.1).

  python -m experiments.pretrain \
    --config=configs/pretrain.py:world=lab,size=nano --workdir=runs/pretrain

Arguments: world (lab, hh), size (nano0 .. nano3, 13m .. 52b), scale (full,
demo, smoke). World hh needs --config.data.data_dir=FOLDER with text.
"""

from configs import presets
from hh_jax.config import PretrainConfig, parse_arg, to_config_dict


def build(choice: presets.Choice) -> PretrainConfig:
  num_steps = choice.pick(1000, 500, 4)
  if choice.is_nano:
    row_length, batch_size = 512, choice.pick(16, 16, 2)
  else:
    row_length, batch_size = 8192, 256  # [A-2nd] context; batch is [open]
    num_steps = choice.pick(190_000, 700, 4)  # 400B tokens [A-2nd]
  return PretrainConfig(
    model=presets.model(choice),
    data=presets.data(
      choice,
      row_length,
      batch_size,
      # Documents of the lab, of about 240 tokens each; on text files 0
      # reads all of them.
      num_examples=choice.pick(20_000, 8000, 60)
      if choice.world == 'lab'
      else 0,
    ),
    optimizer=presets.rate(choice, 1.0, 2.0, 'cosine', choice.pick(100, 50, 1)),
    loop=presets.loop(choice),
    num_steps=num_steps,
    tokenizer_documents=choice.pick(3000, 3000, 60),
  )


def get_config(arg: str | None = None):
  choice = presets.Choice(**parse_arg(arg, **presets.ARGUMENTS))
  return to_config_dict(build(choice))
