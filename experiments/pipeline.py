"""The whole paper: every stage, the evaluation, and `report.html`.

  python -m experiments.pipeline --config=configs/pipeline.py:world=lab \
    --workdir=runs/lab
  python -m experiments.pipeline --config=configs/pipeline.py:world=hh \
    --config.data_dir=FOLDER --workdir=runs/hh

Run again with the same workdir, it goes on where it was stopped. With
`--config.record=FILE.json` the numbers are written as a result file, too.
"""

import time

from hh_jax.config import PipelineConfig
from hh_jax.launch import cli


def main(config: PipelineConfig, workdir: str) -> str:
  started = time.time()
  from hh_jax.report import page, record
  from hh_jax.stages import pipeline, pipeline_results

  results = pipeline.run(config, workdir)
  command = cli.command_line()
  record.describe_run(workdir, command)
  path = page.write(workdir)
  if config.record:
    record.write_result(
      config.record,
      pipeline_results.kept_values(results),
      command=command,
      seeds=results['seeds'],
      # Less than the stages took, if this process found some of them done.
      seconds=max(time.time() - started, results['seconds']),
    )
  return f'{pipeline_results.summary(results)}\nreport: {path}'


if __name__ == '__main__':
  cli.run(main, PipelineConfig)
