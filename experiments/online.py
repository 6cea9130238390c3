"""One iteration of online RLHF: deploy, compare, retrain (section 4.5).

python -m experiments.online --config=configs/online.py:world=lab,size=nano2 \
    --iteration=0 --workdir=runs/online

and again with `--iteration=1`, 2, ...: each needs those before it. Run
again, it goes on where it was stopped.
"""

import time

from hh_jax.config import OnlineConfig
from hh_jax.launch import cli


def main(config: OnlineConfig, workdir: str) -> str:
  started = time.time()
  from hh_jax.report import record
  from hh_jax.stages import online

  records = online.run(config, workdir)
  if config.record:
    record.write_result(
      config.record,
      {f'seed {seed}': own for seed, own in records.items()},
      command=cli.command_line(),
      seeds=config.seeds,
      seconds=time.time() - started,
    )
  return online.summary(records)


if __name__ == '__main__':
  cli.run(main, OnlineConfig)
