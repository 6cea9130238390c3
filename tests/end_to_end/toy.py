"""The pipeline at toy size, as command-line overrides of the smoke scale.

Shapes are few, because compiling them is nearly all the work: short rows, one
decode cache, no more prompts than a report needs.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from hh_jax import config as config_lib
from hh_jax.launch import cli
from hh_jax.stages import pipeline

ROOT = pathlib.Path(__file__).parents[2]
DEADLINE = 300  # seconds; on an idle machine a child needs ten

SAMPLING = {'max_new_tokens': 8, 'max_prompt': 64, 'slots': 8}
LOOP = {'checkpoint_every': 2, 'log_every': 100}
OVERRIDES = {
  'pretrain.num_steps': 6,
  'pretrain.data.row_length': 128,
  'pretrain.data.num_examples': 40,
  'distill.num_steps': 6,
  'distill.num_prompt_conversations': 2,
  'distill.effect_prompts': 2,
  'distill.data.row_length': 256,
  'distill.data.max_path': 24,
  'distill.data.batch_size': 2,
  'distill.data.num_examples': 20,
  'pmp.num_posts': 12,
  'pm.data.num_examples': 60,
  'pm_one_side.data.num_examples': 60,
  'rejection.k': 4,
  'rejection.data.row_length': 72,
  'rlhf.num_iterations': 6,
  'rlhf.num_prompts': 8,
  'rlhf.center_prompts': 8,
  'rlhf.eval_every': 3,
  'rlhf.eval_prompts': 8,
  'rlhf.data.row_length': 72,
  'rlhf.data.batch_size': 8,
  'rlhf.minibatches': 2,
  'evaluate.k': 4,
  'evaluate.num_prompts': 8,
  'evaluate.num_comparisons': 12,
  'evaluate.num_dialogues': 2,
  'evaluate.num_bootstrap': 20,
  'evaluate.data.row_length': 72,
  'evaluate.data.num_examples': 60,
}
TEST_FRACTION = 0.25  # enough that the few test comparisons have both sides
# Two comparisons always fit one row.
PAIRS = {'row_length': 512, 'max_path': 128, 'batch_size': 2}
PAIR_STAGES = ('pmp', 'pm', 'pm_one_side')
SAMPLING_STAGES = ('rejection', 'rlhf', 'evaluate')
STAGES = (
  'pretrain',
  'distill',
  'pmp',
  'pm',
  'pm_one_side',
  'rejection',
  'rlhf',
  'evaluate',
)


def arguments(workdir, cache, world='lab', **more):
  """Command line of the pipeline, without the program."""
  values = dict(OVERRIDES)
  for stage in STAGES:
    values |= {f'{stage}.loop.{key}': value for key, value in LOOP.items()}
    values[f'{stage}.data.test_fraction'] = TEST_FRACTION
    values[f'{stage}.loop.compilation_cache'] = str(cache)
  for stage in SAMPLING_STAGES:
    values |= {
      f'{stage}.sampling.{key}': value for key, value in SAMPLING.items()
    }
  for stage in PAIR_STAGES:
    values |= {f'{stage}.data.{key}': value for key, value in PAIRS.items()}
  values |= more
  return [
    f'--config=configs/pipeline.py:world={world},size=nano0,scale=smoke',
    *(f'--config.{key}={value}' for key, value in values.items()),
    f'--workdir={workdir}',
  ]


def parse(args):
  """The pipeline's config, as its command line would build it."""
  config, _ = cli.parse(config_lib.PipelineConfig, args)
  return config


def planned(lab, cache, name):
  """A stage of the finished pipeline, as its plan configured it."""
  config = parse(arguments(lab[0], cache))
  (stage,) = [
    stage for stage in pipeline.plan(config, lab[0]) if stage.name == name
  ]
  return stage


def flags_of(config, prefix=''):
  """Every field of a config as an override, so that a stage runs alone."""
  flags = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      flags += flags_of(value, f'{prefix}{field.name}.')
    else:
      flags.append(f'--config.{prefix}{field.name}={value}')
  return flags


def start(script, *args, env=None):
  """Starts a script of the experiments in a process of its own."""
  return subprocess.Popen(
    [sys.executable, '-m', f'experiments.{script}', *map(str, args)],
    cwd=ROOT,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu', **(env or {})},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(script, *args, env=None):
  """Runs a script to its end; returns what it printed."""
  child = start(script, *args, env=env)
  printed, errors = child.communicate()
  if child.returncode:
    raise RuntimeError(f'{script} ended with {child.returncode}: {errors}')
  return printed


def stage_arguments(script, config, workdir, world='lab'):
  """Command line of one stage that repeats a config field by field."""
  return [
    f'--config=configs/{script}.py:world={world},size=nano0,scale=smoke',
    *flags_of(config),
    f'--workdir={workdir}',
  ]


def num_lines(workdir):
  """Steps that a stage has logged."""
  path = workdir / 'metrics.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


def kill_half_way(child, workdir, total_steps):
  """Kills a stage as soon as half of its steps are logged."""
  deadline = time.monotonic() + DEADLINE
  while num_lines(workdir) < total_steps // 2:
    if child.poll() is not None:
      pytest.fail(f'ended before it was killed: {child.stderr.read()}')
    if time.monotonic() > deadline:
      child.kill()
      pytest.fail(f'nothing to kill after {DEADLINE} s')
    time.sleep(0.002)
  child.send_signal(signal.SIGKILL)
  child.communicate()
  assert child.returncode == -signal.SIGKILL
