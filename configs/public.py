"""Public weights, from which a pipeline starts.

  python -m experiments.public --config=configs/public.py \
    --config.source=FOLDER --workdir=runs/public

Takes no arguments. On accelerators add --config.compute_dtype=bfloat16, and
--config.remat=True where a model hardly fits.

Run time is that of reading and hashing the files; no number is expected.
"""

from hh_jax.config import PublicConfig, parse_arg, to_config_dict


def get_config(arg: str | None = None):
  parse_arg(arg)  # refuses any
  return to_config_dict(PublicConfig())
