"""RLHF with PPO (Bai et al. 2022, sections 4.1 and B.1).

  python -m experiments.rlhf --config=configs/rlhf.py:world=lab,size=nano \
    --config.policy_from=runs/distill --config.pm_from=runs/pm \
    --workdir=runs/rlhf

Arguments as in configs/pretrain.py.

In the pipeline, nano in the lab on 2 CPU cores: 9 minutes for 200 iterations,
√KL 1.9, +45 Elo.
"""

from configs import presets
from hh_jax.config import RLHFConfig


def build(choice: presets.Choice) -> RLHFConfig:
  row_length = presets.short_rows(choice, 2048)
  return RLHFConfig(
    data=presets.data(
      choice,
      row_length,
      choice.pick(64 if choice.is_small_data else 128, 128, 8),
    ),
    sampling=presets.sampling(choice),
    optimizer=presets.optimizer(
      choice,
      0.01,  # [§4.1]
      0.05 if choice.is_small_data else 0.06,
      'constant',
      nano_schedule='linear',
    ),
    loop=presets.loop(choice),
    num_iterations=choice.pick(60 if choice.is_small_data else 200, 25, 2),
    passes=1
    if choice.is_small_data
    else choice.pick(2, 2, 1),  # K: 1, 2 and 4 in the paper [§4.1]
    minibatches=choice.pick(4, 4, 2),
    num_prompts=choice.pick(20_000, 8000, 40),
    center_prompts=choice.pick(256, 256, 16),
    value_lr_multiple=1.0,
    eval_every=choice.pick(10 if choice.is_small_data else 20, 8, 1),
    # Deviation: fewer than the 512 of a point of reward against √KL on real
    # data, half of each side; a tenth of it has 226 on the harmless side.
    eval_prompts=choice.pick(256 if choice.is_small_data else 512, 256, 16),
    show_every=choice.pick(15 if choice.is_small_data else 50, 12, 2),
    show_prompts=choice.pick(20, 20, 2),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
