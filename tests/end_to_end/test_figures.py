"""Every figure at toy size, from the command line, on one workdir."""

import fcntl
import importlib
import json
import pathlib
import typing

import pytest

from hh_jax import config as config_lib
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
POLICIES = ('fig01', 'fig04', 'fig13', 'fig14', 'fig24', 'fig33', 'fig36')
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
  is_policy = name in POLICIES
  values = OVERRIDES | (POLICY_OVERRIDES if is_policy else {})
  for stage in (*STAGES, *(POLICY_STAGES if is_policy else ())):
    values[f'{stage}.loop.compilation_cache'] = str(cache)
    values[f'{stage}.loop.checkpoint_every'] = 0  # but the last
  for stage in ('pmp', 'pm'):
    values |= {f'{stage}.data.{key}': value for key, value in toy.PAIRS.items()}
  values |= more
  size = LADDERS.get(name, 'nano0')
  return [
    f'--config=configs/figures/{name}.py:world=lab,size={size},scale=smoke',
    *(f'--config.{key}={value}' for key, value in values.items()),
    f'--workdir={workdir}',
  ]


def models_in(workdir):
  return {path.name for path in (workdir / lineage.MODELS).iterdir()}


def run(name, *args):
  """Runs a figure in this process, where compiled programs are shared."""
  script = importlib.import_module(f'experiments.figures.{name}')
  kind = typing.get_type_hints(script.main)['config']
  return script.main(*cli.parse(kind, args))


@pytest.fixture(scope='session')
def figures(tmp_path_factory, cache, monkeypatch_session):
  """Workdir with every figure, and what each printed.

  The first worker to get the lock makes them, the others wait.
  """
  folder = cache.parent
  workdir, printed = folder / 'figures', folder / 'figures.json'
  with (folder / 'figures.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not printed.exists():
      said = {
        name: run(name, *arguments(name, workdir, cache)) for name in FIGURES
      }
      printed.write_text(json.dumps(said))
  return workdir, json.loads(printed.read_text())


@pytest.fixture(scope='session')
def monkeypatch_session():
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(ROOT)
    yield patch


@pytest.mark.slow
def test_every_figure_has_numbers_and_a_section(figures):
  workdir, printed = figures
  page = (workdir / 'report.html').read_text()
  for name in FIGURES:
    folder = workdir / 'figures' / name
    values = json.loads((folder / 'values.json').read_text())
    rows = [value for value in values.values() if isinstance(value, list)]
    assert all(rows) or name == 'fig11', name
    assert f'id="{name}"' in page, name
    assert 'report.html' in printed[name]


@pytest.mark.slow
def test_a_figure_again_trains_nothing_and_gives_the_same(
  figures, cache, tmp_path
):
  workdir, _ = figures
  before = models_in(workdir)
  file = workdir / 'figures/fig07/values.json'
  content = file.read_bytes()
  record = tmp_path / 'record.json'
  toy.finish(
    'figures.fig07', *arguments('fig07', workdir, cache, record=record)
  )
  assert models_in(workdir) == before
  assert file.read_bytes() == content
  saved = json.loads(record.read_text())
  assert saved['values'] == json.loads(content)
  assert saved['seeds'] == [0]


@pytest.mark.slow
def test_figures_share_models(figures):
  workdir, _ = figures
  kinds = [name.split('-')[0] for name in models_in(workdir)]
  assert kinds.count('pretrain') == 2  # sizes
  assert kinds.count('distill') == 3  # each from itself, nano0 from nano1
  # nano0 against the train-PM of either size and nano1 against its own; nano0
  # on helpful prompts alone, against the train-PMs of both sides and of one.
  assert kinds.count('rlhf') == 5


@pytest.mark.parametrize('name', FIGURES)
def test_every_figure_has_a_config_that_builds(name):
  script = importlib.import_module(f'experiments.figures.{name}')
  kind = typing.get_type_hints(script.main)['config']
  module = importlib.import_module(f'configs.figures.{name}')
  for world in ('lab', 'hh'):
    for size, count in (('nano', 4), ('nano1', 2), ('42m', 2)):
      for scale in ('full', 'demo', 'smoke'):
        arg = f'world={world},size={size},scale={scale}'
        values = module.get_config(arg).to_dict()
        config = config_lib.from_config_dict(kind, values)
        count = 3 if name in POLICIES and size == 'nano' else count
        assert len(config.sizes) in (1, count)
        assert config.pm.data.world == world


@pytest.mark.slow
@pytest.mark.parametrize(
  'name, change, said',
  [
    ('fig19', {'num_comparisons': 5000}, 'the mixture asks for'),
    ('fig32', {'counts': '(8,5000)'}, 'the mixture asks for 5000'),
    ('fig05', {'hhh_file': 'missing.jsonl'}, 'missing.jsonl is not a file'),
    ('fig12', {'replies_file': 'missing.jsonl'}, 'missing.jsonl is not a file'),
    ('fig07', {'sizes': "('nano0','nano9')"}, "unknown model size 'nano9'"),
    ('fig07', {'pm.num_comparisons': 3}, 'are not used'),
    ('fig04', {'pm.data.span_end': 0.5}, 'are not used: the figure halves'),
    ('fig04', {'rlhf.pm_from': 'a'}, 'rlhf.pm_from=a is not used'),
    ('fig04', {'rlhf.data.test_fraction': 0.3}, 'make them equal'),
    ('fig36', {'ks': '(1,4,64)'}, 'rejection.k=5 replies a prompt are too few'),
    ('fig14', {'fractions': '(0.5,0.0)'}, 'must ascend within'),
    ('fig01', {'writer_lapses': '(0.1,1.5)'}, 'is not within [0, 1]'),
  ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(
  name, change, said, cache, tmp_path
):
  child = toy.start(
    f'figures.{name}', *arguments(name, tmp_path / 'w', cache, **change)
  )
  printed, errors = child.communicate()
  lines = [line for line in errors.splitlines() if line.startswith('error: ')]
  assert child.returncode == 2, errors
  assert printed == '' and 'Traceback' not in errors
  assert len(lines) == 1 and said in lines[0]
  assert not (tmp_path / 'w' / lineage.MODELS).exists()
