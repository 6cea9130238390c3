"""Figure 20: comparisons of summaries mixed in.

  python -m experiments.figures.fig20 \
    --config=configs/figures/fig20.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; size is the largest of its ladder, nano the
whole nano ladder. World hh needs --config.data_dir=FOLDER in which
`summaries.jsonl` holds comparisons of summaries in the form of a dialogue.
"""

from configs import presets
from configs.figures import models
from hh_jax.config import FigureConfig


def build(choice: presets.Choice) -> FigureConfig:
  return FigureConfig(**models.stages(choice))


def get_config(arg: str | None = None):
  return presets.config_of(build, arg)
