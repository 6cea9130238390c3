"""Evaluation of finished models (sections 2.4, 3.2-3.3, 4.6 and B.5).

  python -m experiments.evaluate \
    --config=configs/evaluate.py:world=lab,size=nano \
    --config.pm_from=runs/pm --config.reference_from=runs/distill \
    --config.rlhf_from=runs/rlhf --workdir=runs/evaluate

Arguments as in configs/pretrain.py.

In the pipeline, nano in the lab on 2 CPU cores: 2 minutes, PM accuracy
0.71, RLHF +45 Elo.
"""

from configs import pm, presets
from hh_jax.config import EvaluateConfig


def build(choice: presets.Choice) -> EvaluateConfig:
  return EvaluateConfig(
    # The comparisons that pm.py splits, so that its test part is unseen.
    data=pm.build(choice).data,
    sampling=presets.sampling(choice),
    num_comparisons=choice.pick(4000, 1200, 24),
    # Half of each side; a tenth of the real ones has 226 on the harmless side.
    num_prompts=choice.pick(448 if choice.is_small_data else 1024, 256, 16),
    # More than one comparison a pair, so that the crowd averages out.
    games_per_prompt=choice.pick(8, 2, 2),
    num_bootstrap=choice.pick(1000, 500, 50),
    num_dialogues=choice.pick(10, 10, 4),
  )


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
