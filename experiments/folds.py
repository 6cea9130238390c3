"""Preference models by 5-fold cross-validation (sections 3.2 and 5.1).

python -m experiments.folds --config=configs/folds.py:world=hh,size=nano \
    --config.init_from=runs/hh/pmp --config.data.data_dir=FOLDER \
    --workdir=runs/folds
"""

from hh_jax.config import FoldsConfig
from hh_jax.launch import cli


def main(config: FoldsConfig, workdir: str) -> str:
  from hh_jax.report import record
  from hh_jax.stages import folds

  results = folds.run(config, workdir)
  if config.record:
    record.write_result(
      config.record,
      folds.kept_values(results),
      command=cli.command_line(),
      seeds=[config.seed],
      seconds=results['seconds'],
    )
  return results['line']


if __name__ == '__main__':
  cli.run(main, FoldsConfig)
