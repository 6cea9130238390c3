"""Runs a sweep, tells where it stands, or collects its results.

  python -m experiments.sweep --sweep=experiments/sweeps/ladder.py:world=lab \
    --executor=local:parallel=2 --workdir=runs/ladder
  python -m experiments.sweep status --sweep=... --workdir=runs/ladder
  python -m experiments.sweep collect --sweep=... --workdir=runs/ladder

What is wrong in any trial is told before one is started. What is done is not
run again, what was stopped goes on. `--config.key=value` is for every trial.
Executors, each with options after a colon (`local:parallel=2`): print, local,
slurm, gke, xpk and xmanager. docs/on_a_pod.md explains them.
"""

import pathlib
from collections.abc import Sequence

from hh_jax.launch import checks, cli, collect, command, states
from hh_jax.launch.executors import jobset, lines, local, slurm, xmanager, xpk
from hh_jax.training import files

EXECUTORS = {
  'print': lines,
  'local': local,
  'slurm': slurm,
  'gke': jobset,
  'xpk': xpk,
  'xmanager': xmanager,
}
CSV = 'sweep.csv'


def main(args: Sequence[str]) -> int:
  request = command.parse(args)
  command.require_known(request.executor, EXECUTORS)
  executor = EXECUTORS[request.executor]
  options = command.options_of(executor.Options, request.options)
  trials, configs = request.trials()
  if request.action == 'status':
    from hh_jax.report import table

    print(table.markdown_table(states.rows(trials)))
    return 0
  if request.action == 'collect':
    return write_results(request.workdir, trials)
  checks.check(trials, configs, sees_files=executor.SEES_FILES)
  todo = [trial for trial in trials if not states.is_done(trial)]
  states.log.info('%d trials, %d to run', len(trials), len(todo))
  if not todo:
    return 0
  outcome = executor.launch(todo, options)
  states.log.info('%s', outcome.line())
  return outcome.exit_code


def write_results(workdir: str, trials: Sequence[command.Trial]) -> int:
  """Writes one CSV and one page; says where."""
  from hh_jax.report import sweep

  results = collect.collect(trials)
  folder = pathlib.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  files.write_atomic(folder / CSV, collect.to_csv(results))
  page = sweep.write(
    folder,
    cli.command_line(),
    collect.rows(results),
    states.rows(trials),
    {result.name for result in results if result.is_count},
  )
  done = sum(map(states.is_done, trials))
  print(f'{done} of {len(trials)} trials are done: {folder / CSV}, {page}')
  return 0


if __name__ == '__main__':
  cli.answer(main)
