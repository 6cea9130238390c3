"""Manifests for GKE, and when they are applied."""

import dataclasses
import json

import pytest
import yaml

from hh_jax.launch.executors import jobset
from tests.launch import trials
from tests.launch.executors import fakes, golden

OPTIONS = {'image': 'registry/hh_jax:1', 'claim': 'shared'}


@pytest.fixture
def chain(tmp_path, monkeypatch):
  """Three trials, of 512, 4 and 4 chips, each starting from the one before."""
  monkeypatch.chdir(tmp_path)
  found = trials.expand(
    dataclasses.replace(
      trials.CHAIN, sizes=('52b',), seeds=(0,), arguments={'world': 'hh'}
    ),
    workdir='runs/ladder',
    flags=['--config.data.data_dir=runs/data'],
  )
  names = ['pretrain', 'pmp', 'pm-harmless_weight=1.0']
  chips = [512, 4, 4]
  return [
    dataclasses.replace(found[name], num_devices=number)
    for name, number in zip(names, chips)
  ]


def launch(chain, **options):
  return jobset.launch(chain, jobset.Options(**OPTIONS, **options))


def test_rendered_manifests(chain):
  assert launch(chain, queue='pods').line() == '3 written'
  for trial in chain:
    text = jobset.manifest_file(trial).read_text()
    golden.compare(f'jobset_{trial.stage}.yaml', text)


def test_the_hosts_of_a_slice_find_each_other(chain):
  launch(chain)
  large, small = (
    yaml.safe_load(jobset.manifest_file(trial).read_text())
    for trial in chain[:2]
  )
  name = large['metadata']['name']
  assert len(name) <= 40 and name.startswith('hh-ladder-pretrain-')
  job = large['spec']['replicatedJobs'][0]['template']['spec']
  assert job['parallelism'] == job['completions'] == 128
  (container,) = job['template']['spec']['containers']
  assert container['command'][-3:] == [
    f'--coordinator={name}-slice-0-0.{name}:8476',
    '--num_processes=128',
    '--process_id=$(PROCESS_ID)',
  ]
  assert container['command'][:-3] == chain[0].command()
  job = small['spec']['replicatedJobs'][0]['template']['spec']
  (container,) = job['template']['spec']['containers']
  assert container['command'] == chain[1].command()


def test_names_are_one_a_workdir(chain):
  other = dataclasses.replace(chain[0], workdir='runs/Ladder/pretrain')
  names = {jobset.job_name(trial) for trial in [*chain, other]}
  assert len(names) == 4


KUBECTL = """
import os
if sys.argv[1] == 'get':
  print(os.environ['JOBSETS'])
"""


def listed(chain, *conditions, image=OPTIONS['image']):
  """What kubectl knows: a condition of each of the first trials."""
  options = jobset.Options(**{**OPTIONS, 'image': image})
  items = [
    {
      'metadata': jobset.manifest(trial, options)['metadata'],
      'status': {
        'conditions': [{'type': kind, 'status': 'True'}] if kind else []
      },
    }
    for trial, kind in zip(chain, conditions)
  ]
  return json.dumps({'items': items})


@pytest.mark.parametrize(
  ('conditions', 'line', 'applied', 'deleted'),
  [
    ([], '1 applied, 2 waiting', [0], []),
    ([None], '1 queued or running, 2 waiting', [], []),
    (['Completed'], '1 done, 1 applied, 1 waiting', [1], []),
    (['Failed'], '1 applied, 2 waiting', [0], [0]),
    (['Completed', 'Completed'], '2 done, 1 applied', [2], []),
    (['Completed'] * 3, '3 done', [], []),
  ],
)
def test_manifests_are_applied_when_their_time_has_come(
  chain, tmp_path, monkeypatch, conditions, line, applied, deleted
):
  calls = fakes.install(monkeypatch, tmp_path / 'bin', kubectl=KUBECTL)
  monkeypatch.setenv('JOBSETS', listed(chain, *conditions))
  assert launch(chain, apply=True).line() == line
  made = [(args, texts) for args, texts in calls() if args[0] == 'apply']
  assert [text for _, (text,) in made] == [
    jobset.manifest_file(chain[index]).read_text() for index in applied
  ]
  gone = [args[2] for args, _ in calls() if args[0] == 'delete']
  assert gone == [jobset.job_name(chain[index]) for index in deleted]


def test_a_jobset_of_another_command_is_not_taken_for_the_trial(
  chain, tmp_path, monkeypatch
):
  calls = fakes.install(monkeypatch, tmp_path / 'bin', kubectl=KUBECTL)
  other = 'registry/hh_jax:2'
  monkeypatch.setenv('JOBSETS', listed(chain, 'Completed', image=other))
  assert launch(chain, apply=True).line() == '1 applied, 2 waiting'
  gone = [args[2] for args, _ in calls() if args[0] == 'delete']
  assert gone == [jobset.job_name(chain[0])]
  monkeypatch.setenv('JOBSETS', listed(chain, None, image=other))
  with pytest.raises(ValueError, match='runs another command or image'):
    launch(chain, apply=True)


def test_a_trial_whose_start_is_done_by_its_folder_need_not_wait(
  chain, tmp_path, monkeypatch
):
  fakes.install(monkeypatch, tmp_path / 'bin', kubectl=KUBECTL)
  monkeypatch.setenv('JOBSETS', listed([]))
  assert launch(chain[1:], apply=True).line() == '1 applied, 1 waiting'


def test_an_answer_that_is_no_list(chain, tmp_path, monkeypatch):
  fakes.install(monkeypatch, tmp_path / 'bin', kubectl=KUBECTL)
  monkeypatch.setenv('JOBSETS', 'no resources')
  with pytest.raises(ValueError, match="answered no list: 'no resources'"):
    launch(chain, apply=True)


def test_a_mesh_that_is_no_slice(chain):
  odd = dataclasses.replace(chain[0], num_devices=24)
  with pytest.raises(ValueError) as caught:
    launch([odd])
  assert 'a mesh of 24 devices' in str(caught.value)
  assert 'nearest are 32 and 16' in str(caught.value)


@pytest.mark.parametrize('folder', ['/data/runs', 'elsewhere', 'runs/../x'])
def test_a_workdir_that_the_pods_do_not_see(chain, folder):
  away = dataclasses.replace(chain[0], workdir=f'{folder}/pretrain')
  with pytest.raises(ValueError, match='is not in runs/'):
    launch([away])


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    ({'image': ''}, 'needs image=NAME'),
    ({'claim': ''}, 'needs claim=NAME'),
    ({'accelerator': 'tpu-v9'}, "accelerator='tpu-v9' is not one of"),
    ({'restarts': -1}, 'restarts=-1'),
  ],
)
def test_options_that_make_no_sense(options, said):
  with pytest.raises(ValueError) as caught:
    jobset.Options(**{**OPTIONS, **options})
  assert said in str(caught.value)
