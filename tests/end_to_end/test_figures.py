"""Every figure at toy size, from the command line, on one workdir."""

import importlib
import json
import typing

import pytest

from hh_jax import config as config_lib
from hh_jax.stages import lineage
from tests.end_to_end import toy, toy_figures


@pytest.mark.slow
def test_every_figure_has_numbers_and_a_section(figures):
  workdir, printed = figures
  page = (workdir / 'report.html').read_text()
  for name in toy_figures.FIGURES:
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
  before = toy_figures.models_in(workdir)
  file = workdir / 'figures/fig07/values.json'
  content = file.read_bytes()
  record = tmp_path / 'record.json'
  toy.finish(
    'figures.fig07',
    *toy_figures.arguments('fig07', workdir, cache, record=record),
  )
  assert toy_figures.models_in(workdir) == before
  assert file.read_bytes() == content
  saved = json.loads(record.read_text())
  assert saved['values'] == json.loads(content)
  assert saved['seeds'] == [0]


@pytest.mark.slow
def test_figures_share_models(figures):
  workdir, _ = figures
  kinds = [name.split('-')[0] for name in toy_figures.models_in(workdir)]
  assert kinds.count('pretrain') == 2  # sizes
  assert kinds.count('distill') == 3  # each from itself, nano0 from nano1
  # In the figure of two sizes nano0 against the train-PM of either and nano1
  # against its own, all from π0s that nano1 taught. In those of one size nano0
  # against its own; on helpful prompts alone against that, and against the one
  # of helpful comparisons.
  # Online: two iterations, a helpful-only policy of all tranches, two arms.
  assert kinds.count('rlhf') == 3 + 3 + 5


@pytest.mark.parametrize('name', toy_figures.FIGURES)
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
        count = 3 if name in toy_figures.POLICIES and size == 'nano' else count
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
    ('fig16', {'snapshots': 3}, 'snapshots=3 do not divide'),
    ('fig35', {'tranche': 'a'}, 'tranche=a is of one iteration'),
  ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(
  name, change, said, cache, tmp_path
):
  child = toy.start(
    f'figures.{name}',
    *toy_figures.arguments(name, tmp_path / 'w', cache, **change),
  )
  printed, errors = child.communicate()
  lines = [line for line in errors.splitlines() if line.startswith('error: ')]
  assert child.returncode == 2, errors
  assert printed == '' and 'Traceback' not in errors
  assert len(lines) == 1 and said in lines[0]
  assert not (tmp_path / 'w' / lineage.MODELS).exists()
