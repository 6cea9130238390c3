"""Online training from the command line, on the models of the toy figures."""

import json
import shutil

import pytest

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.stages import loading, online
from tests.end_to_end import toy, toy_figures

pytestmark = pytest.mark.slow


def folder_of(workdir):
  (folder,) = (workdir / online.FOLDER).iterdir()
  return folder


def record_of(workdir, number):
  path = folder_of(workdir) / str(number) / online.RECORD
  return json.loads(path.read_text())


def start(workdir, cache, number, **more):
  args = toy_figures.arguments('online', workdir, cache, **more)
  return toy.start('online', *args, f'--iteration={number}')


def said_by(child):
  printed, errors = child.communicate()
  lines = [line for line in errors.splitlines() if line.startswith('error: ')]
  assert child.returncode == 2 and printed == '' and len(lines) == 1, errors
  return lines[0]


def test_an_iteration_killed_half_way_ends_in_the_same_record(
  figures, cache, tmp_path
):
  workdir = tmp_path / 'run'
  shutil.copytree(
    figures[0], workdir, ignore=shutil.ignore_patterns('figures', 'scores')
  )
  expected = record_of(workdir, 1)
  # The preference model stays: it is found again if the tranche is the same.
  policy = workdir / expected['policy']['run']
  shutil.rmtree(policy)
  shutil.rmtree(folder_of(workdir) / '1')
  before = toy_figures.models_in(workdir)
  toy.kill_half_way(start(workdir, cache, 1), policy, total_steps=2)
  assert not (folder_of(workdir) / '1' / online.RECORD).exists()
  printed, errors = start(workdir, cache, 1).communicate()
  assert 'online, iteration 1, seed 0' in printed, errors
  assert record_of(workdir, 1) == expected
  assert toy_figures.models_in(workdir) == before | {policy.name}


def test_snapshots_are_deployed_and_every_tranche_is_trained_on(figures):
  workdir, _ = figures
  first, second = (record_of(workdir, number) for number in (0, 1))
  assert first['pm']['run'] != second['pm']['run']
  for record in (first, second):
    policy = workdir / record['policy']['run']
    for one in record['policy']['snapshots']:
      run = loading.load_run(policy, one['step'])
      assert run.state_sha256 == one['state_sha256']
  with pytest.raises(ValueError, match='no checkpoint of step 9: there are'):
    loading.load_run(policy, 9)
  folder = folder_of(workdir) / '1'
  about = json.loads((folder / online.TRANCHE / 'export.json').read_text())
  deployed = {spec['state_sha256'] for spec in about['models'].values()}
  snapshots = first['policy']['snapshots']
  assert {one['state_sha256'] for one in snapshots} < deployed
  read = comparisons_lib.read_comparisons(folder / online.COMPARISONS)
  base = first['tranche']['comparisons']
  assert read.num_kept == base + second['tranche']['comparisons']
  assert second['by_other_models'] == {}


def test_a_crowds_tranche_may_be_given_to_the_interface_or_back(
  figures, cache, tmp_path
):
  """What a crowd made in one workdir another one takes as given."""
  workdir = tmp_path / 'run'
  shutil.copytree(
    figures[0], workdir, ignore=shutil.ignore_patterns('figures', 'scores')
  )
  expected = record_of(workdir, 1)
  tranche = folder_of(figures[0]) / '1' / online.TRANCHE
  shutil.rmtree(folder_of(workdir) / '1')
  printed, errors = start(workdir, cache, 1, tranche=tranche).communicate()
  assert 'online, iteration 1' in printed, errors
  assert record_of(workdir, 1) == expected
  assert not (folder_of(workdir) / '1' / online.EXCHANGES).exists()


def test_what_is_missing_is_one_line(cache, tmp_path):
  said = said_by(start(tmp_path / 'run', cache, 2))
  assert 'iteration 0 is not finished' in said and '--iteration=0' in said
  assert not (tmp_path / 'run' / 'models').exists()
