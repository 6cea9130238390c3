"""Models are found again by all that they depend on, and by nothing else."""

import dataclasses

import pytest

from configs.figures import fig07, fig08, fig19
from hh_jax import config as config_lib
from hh_jax.stages import distill, lineage, pm, pmp, pretrain
from hh_jax.training import workdir
from tests.stages import toys

SMOKE = 'world=lab,size=nano1,scale=smoke'


def config_of(module=fig07, kind=config_lib.ScalingConfig):
  return config_lib.from_config_dict(kind, module.get_config(SMOKE).to_dict())


@pytest.fixture
def trained(monkeypatch):
  return toys.train_nothing(
    monkeypatch, pretrain=pretrain, distill=distill, pmp=pmp, pm=pm
  )


def test_a_model_starts_from_the_ones_before_it(trained, tmp_path):
  config = config_of()
  line = lineage.Lineage(config, 'nano1', 3, tmp_path)
  folder = line.pm(line.pmp(), harmless_fraction=0.25)
  by_stage = {stage: (place, c) for place, (stage, c) in trained.items()}
  assert by_stage['pm'][0] == folder
  assert by_stage['pm'][1].init_from == str(by_stage['pmp'][0])
  assert by_stage['pmp'][1].init_from == str(by_stage['pretrain'][0])
  assert by_stage['pm'][1].harmless_fraction == 0.25
  assert {c.seed for _, c in by_stage.values()} == {3}
  assert by_stage['pretrain'][1].model.num_layers == 3
  assert by_stage['pretrain'][1].model.vocab_size == 1024  # the lab's
  assert folder.parent == tmp_path / lineage.MODELS


def test_a_model_that_is_its_own_teacher_is_one_model(trained, tmp_path):
  small, large = (
    lineage.Lineage(config_of(), size, 0, tmp_path)
    for size in ('nano0', 'nano1')
  )
  assert trained[large.distilled()][1].teacher_from == ''
  taught = trained[small.distilled()][1]
  assert taught.teacher_from == str(large.pretrained())
  assert taught.init_from == str(small.pretrained())


def test_models_that_were_asked_for_are_noted(trained, tmp_path):
  line = lineage.Lineage(config_of(), 'nano0', 0, tmp_path)
  before = line.pretrained()
  with lineage.noted() as folders:
    own = line.pm(line.pmp())
  line.pm(line.pmp(), harmless_fraction=0.5)
  assert {before, own} < folders == {before, line.pmp(), own}
  for seconds, folder in enumerate(sorted(folders), 1):
    folder.mkdir(parents=True)
    workdir.write_done(folder, {'seconds': seconds})
  assert lineage.seconds_of(folders) == 6


def test_figures_share_what_they_have_in_common(trained, tmp_path):
  first = lineage.Lineage(config_of(), 'nano0', 0, tmp_path)
  second = lineage.Lineage(config_of(fig08), 'nano0', 0, tmp_path)
  assert first.pm(first.pmp()) == second.pm(second.pmp())
  other = config_of(fig19, config_lib.MixtureConfig)
  third = lineage.Lineage(other, 'nano0', 0, tmp_path)
  assert first.pm(first.pmp()) == third.pm(third.pmp())


def test_only_the_model_of_all_comparisons_has_a_curve_unasked(
  trained, tmp_path
):
  line = lineage.Lineage(config_of(), 'nano0', 0, tmp_path)

  def points(**changes):
    return trained[line.pm(line.pmp(), **changes)][1].curve_points

  usual = points()
  assert usual > 0 == points(num_comparisons=4)
  # What is no change makes no other model.
  assert points(num_comparisons=0, harmless_fraction=-1.0) == usual
  assert points(num_comparisons=4, curve_points=3) == 3


@pytest.mark.parametrize(
  'change',
  [
    {'size': 'nano1'},
    {'seed': 1},
    {
      'config': dataclasses.replace(
        config_of(), pmp=dataclasses.replace(config_of().pmp, num_posts=21)
      )
    },
    {
      'config': dataclasses.replace(
        config_of(),
        pretrain=dataclasses.replace(config_of().pretrain, num_steps=5),
      )
    },
  ],
)
def test_what_a_model_depends_on_changes_its_folder(trained, tmp_path, change):
  line = lineage.Lineage(config_of(), 'nano0', 0, tmp_path)
  other = dataclasses.replace(line, **change)
  assert line.pm(line.pmp()) != other.pm(other.pmp())


def test_how_it_is_run_does_not(trained, tmp_path):
  config = config_of()
  loop = dataclasses.replace(config.pm.loop, log_every=7)
  quiet = dataclasses.replace(
    config, pm=dataclasses.replace(config.pm, loop=loop), record='a.json'
  )
  lines = [
    lineage.Lineage(c, 'nano0', 0, place)
    for c, place in ((config, tmp_path / 'a'), (quiet, tmp_path / 'b'))
  ]
  names = [line.pm(line.pmp()).name for line in lines]
  assert names[0] == names[1]
