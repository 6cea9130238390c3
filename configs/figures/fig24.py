"""Figure 24: preference-model scores of writers and of policies.

  python -m experiments.figures.fig24 \
    --config=configs/figures/fig24.py:world=lab,size=nano --workdir=runs/figures

Arguments as in configs/pretrain.py; nano is nano2, taught by nano3. The
lab alone has writers whose replies are known.
"""

from configs import presets
from configs.figures import policies


def get_config(arg: str | None = None):
  return presets.config_of(policies.writers, arg)
