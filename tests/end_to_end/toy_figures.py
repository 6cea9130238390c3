"""Every figure at toy size, as command-line overrides of the smoke scale."""

import importlib
import pathlib
import typing

from hh_jax.launch import cli
from hh_jax.stages import lineage
from tests.end_to_end import toy

ROOT = pathlib.Path(__file__).parents[2]
FIGURES = sorted(
  path.stem
  for path in (ROOT / 'experiments/figures').glob('*.py')
  if path.stem != '__init__'
)
STAGES = ('pretrain', 'distill', 'pmp', 'pm')
POLICY_STAGES = ('rlhf', 'rejection')
# Figures that train policies or sample from them.
ONLINE = ('fig15', 'fig16', 'fig34', 'fig35')
POLICIES = (
  *('fig01', 'fig04', 'fig13', 'fig14', 'fig24', 'fig33', 'fig36'),
  *ONLINE,
)
# Two sizes; one elsewhere.
LADDERS = dict.fromkeys(('fig30', 'fig32', 'fig33'), 'nano1')
OVERRIDES = {
  'pretrain.num_steps': 3,
  'pretrain.data.row_length': 128,
  'pretrain.data.num_examples': 40,
  'distill.num_steps': 4,
  'distill.num_prompt_conversations': 2,
  'distill.effect_prompts': 4,
  'distill.data.row_length': 256,
  'distill.data.max_path': 24,
  'distill.data.batch_size': 2,
  'distill.data.num_examples': 20,
  'pmp.num_posts': 12,
  'pm.data.num_examples': 200,
}
POLICY_OVERRIDES = {
  'rlhf.num_prompts': 8,
  'rlhf.center_prompts': 8,
  'rlhf.eval_prompts': 8,
  'rlhf.data.row_length': 72,
  'rejection.data.row_length': 72,
  **{
    f'{stage}.sampling.{key}': value
    for stage in POLICY_STAGES
    for key, value in toy.SAMPLING.items()
  },
}


def arguments(name, workdir, cache, **more):
  """Command line of a figure, or of `online`, without the program."""
  is_policy = name in (*POLICIES, 'online')
  values = OVERRIDES | (POLICY_OVERRIDES if is_policy else {})
  for stage in (*STAGES, *(POLICY_STAGES if is_policy else ())):
    values[f'{stage}.loop.compilation_cache'] = str(cache)
    values[f'{stage}.loop.checkpoint_every'] = 0  # but the last
  for stage in ('pmp', 'pm'):
    values |= {f'{stage}.data.{key}': value for key, value in toy.PAIRS.items()}
  values |= more
  size = LADDERS.get(name, 'nano0')
  file = f'figures/{name}' if name in FIGURES else name
  return [
    f'--config=configs/{file}.py:world=lab,size={size},scale=smoke',
    *(f'--config.{key}={value}' for key, value in values.items()),
    f'--workdir={workdir}',
  ]


def models_in(workdir):
  """Names of the models that a workdir holds."""
  return {path.name for path in (workdir / lineage.MODELS).iterdir()}


def run(name, *args):
  """Runs a figure in this process, where compiled programs are shared."""
  script = importlib.import_module(f'experiments.figures.{name}')
  kind = typing.get_type_hints(script.main)['config']
  return script.main(*cli.parse(kind, args))
