"""Language-model pretraining (Bai et al. 2022, section 3.1).

  python -m experiments.pretrain \
    --config=configs/pretrain.py:world=lab,size=nano --workdir=runs/pretrain

Arguments: world (lab, hh), size (nano0 .. nano3, 13m .. 52b), scale (full,
demo, smoke). World hh needs --config.data.data_dir=FOLDER with text.

Nano in the lab on 2 CPU cores: 18 minutes, 0.60 nats a token. The sizes of the
ladder: not measured yet.
"""

from configs import presets
from hh_jax.config import PretrainConfig


def build(choice: presets.Choice) -> PretrainConfig:
  if choice.is_nano:
    # Many small steps: at this size they learn more of the same text.
    row_length, batch_size = 512, choice.pick(4, 4, 2)
    num_steps = choice.pick(7000, 600, 4)
    if choice.world == 'hh':
      # The HHH prompt has about 600 tokens of real text.
      row_length, batch_size = 1024, choice.pick(2, 2, 2)
      num_steps = choice.pick(4000, 600, 4)
  else:
    row_length, batch_size = 8192, 256  # [A-2nd] context; batch is [open]
    num_steps = choice.pick(190_000, 700, 4)  # 400B tokens [A-2nd]
  return PretrainConfig(
    model=presets.model(choice),
    data=presets.data(
      choice, row_length, batch_size, num_examples=num_documents(choice)
    ),
    optimizer=presets.optimizer(
      choice, 1.0, 1.5, 'cosine', choice.pick(200, 60, 1)
    ),
    loop=presets.loop(choice),
    num_steps=num_steps,
    tokenizer_documents=choice.pick(3000, 2000, 60),
  )


def num_documents(choice: presets.Choice) -> int:
  """Returns how many documents make about one epoch; 0 reads all there are.

  Those of the lab have about 380 tokens each, those of the text folder 870.
  """
  if choice.world == 'lab':
    return choice.pick(38_000, 3500, 60)
  return choice.pick(9500, 1500, 200) if choice.is_nano else 0


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
