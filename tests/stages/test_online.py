"""Iterations of online training: what they need, gather and refuse."""

import dataclasses
import json
import pathlib

import pytest

from configs.figures import policies
from configs.presets import Choice
from hh_jax import config as config_lib
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.stages import inputs, online, online_models, rlhf, tranche_files
from hh_jax.stages.online import Iteration, Online
from hh_jax.stages.policy_lineage import PolicyLineage
from tests.data import samples

CONFIG = policies.online(Choice('lab', 'nano0', 'smoke'))


def loop(workdir, config=CONFIG):
  return Online(PolicyLineage(config, 'nano0', 0, workdir))


def tranche(folder, name, *questions, weight=1.0):
  """Writes a tranche with one helpful comparison a question."""
  items = [samples.comparison(text, weight=weight) for text in questions]
  rows = [tranche_files.row_of(item, 0.0) for item in items]
  made = tranche_files.make(rows, name, {'comparisons': len(rows)}, models={})
  folder.mkdir(parents=True, exist_ok=True)
  tranche_files.write(made, folder / online.TRANCHE)


def finish(found, number, **record):
  """Marks an iteration as finished."""
  folder = found.folder / str(number)
  folder.mkdir(parents=True, exist_ok=True)
  record = {'iteration': number, **record}
  (folder / online.RECORD).write_text(json.dumps(record))
  return Iteration(folder, found.line.workdir, record)


def test_a_missing_iteration_is_named(tmp_path):
  found = loop(tmp_path)
  with pytest.raises(ValueError, match='iteration 0 is not finished.*=0'):
    found.run(2)
  finish(found, 0)
  with pytest.raises(ValueError, match='iteration 1 is not finished.*=1'):
    found.run(2)


def test_another_config_has_another_folder(tmp_path):
  names = {
    loop(tmp_path, dataclasses.replace(CONFIG, **change)).folder
    for change in (
      {},
      {'conversations': 13},
      {'harmless_share': 0.5},
      {'teacher': 'nano1'},
      {'pmp': dataclasses.replace(CONFIG.pmp, num_posts=21)},
    )
  }
  assert len(names) == 5
  for change in (
    {'iteration': 5},
    {'record': 'a.json'},
    {'num_test': 3},
    {'teacher': ''},  # the largest, which it is
  ):
    other = loop(tmp_path, dataclasses.replace(CONFIG, **change))
    assert other.folder == loop(tmp_path).folder


def test_policies_with_other_snapshots_have_folders_of_their_own(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(PolicyLineage, 'distilled', lambda _: tmp_path / 'pi0')
  asked = []
  monkeypatch.setattr(rlhf, 'run', lambda config, _: asked.append(config))
  folders = set()
  for number in (1, 2):
    config = dataclasses.replace(CONFIG, snapshots=number)
    line = loop(tmp_path, config).line
    folders.add(online_models.policy_of(line, tmp_path / 'pm'))
  assert len(folders) == 2
  assert [own.loop.keep_steps for own in asked] == [(2,), (1, 2)]
  # How often a run that is killed goes back is another matter.
  every = {own.loop.checkpoint_every for own in asked}
  assert every == {CONFIG.rlhf.loop.checkpoint_every}


def test_all_tranches_are_gathered_under_names_of_their_own(tmp_path):
  found = loop(tmp_path)
  earlier = []
  for number, name in enumerate(('base', 'week', 'week')):
    folder = found.folder / str(number)
    tranche(folder, name, *(f'{number}, {n}?' for n in range(number + 1)))
    earlier.append(finish(found, number))
  found._gather(earlier[-1].folder, earlier[:-1])
  read = comparisons_lib.read_comparisons(earlier[-1].comparisons)
  names = [item.tranche for item in read.comparisons]
  assert sorted(names) == [
    'helpful-base',
    *['helpful-online-1'] * 2,
    *['helpful-online-2'] * 3,
  ]


def test_weights_of_the_first_comparisons_are_kept(tmp_path):
  tranche(tmp_path, 'base', 'Heavy?', weight=2.5)
  read = comparisons_lib.read_comparisons(tmp_path / online.TRANCHE)
  assert [item.weight for item in read.comparisons] == [2.5]


def test_without_a_crowd_a_tranche_must_be_given(tmp_path):
  samples.write(tmp_path / 'data.jsonl', [samples.row('A?', 'Yes.', 'No.')])
  arg = Choice('hh', 'nano0', 'smoke')
  config = dataclasses.replace(
    policies.online(arg), data_dir=str(tmp_path / 'data.jsonl'), iteration=1
  )
  found = loop(tmp_path, config)
  finish(found, 0)
  with pytest.raises(ValueError, match=r'has no crowd: give --config\.tranche'):
    found.run(1)


def test_replies_of_unknown_models_are_refused_or_counted(
  tmp_path, monkeypatch
):
  ended = inputs.Description(tmp_path, 'distill', {}, {}, '', {})
  ended.result['state_sha256'] = 'pi0'
  monkeypatch.setattr(inputs, 'describe', lambda _: ended)
  monkeypatch.setattr(PolicyLineage, 'distilled', lambda _: tmp_path)
  policy = {'snapshots': [{'state_sha256': 'one'}]}
  before = finish(loop(tmp_path), 0, pm={'state_sha256': 'pm'}, policy=policy)
  rows = [
    tranche_files.Row(
      'helpful',
      'train',
      tranche_files.pair(samples.dialogue('A?'), 'Yes.', 'No.'),
      {'chosen_model': chosen, 'rejected_model': 'known'},
    )
    for chosen in ('known', 'stranger', 'stranger')
  ]
  specs = {
    'known': {'name': 'mine', 'state_sha256': 'one'},
    'stranger': {'name': 'theirs', 'state_sha256': 'two'},
  }
  made = tranche_files.make(rows, 'online', {}, models=specs)
  with pytest.raises(ValueError, match=r'has 2 comparisons.*theirs \(stranger'):
    loop(tmp_path)._count_models(made, [before])
  open_to_all = dataclasses.replace(CONFIG, other_models=True)
  counts = loop(tmp_path, open_to_all)._count_models(made, [before])
  assert counts == {'theirs (stranger)': 2}


@pytest.mark.parametrize(
  'stage, tokenizer, said',
  [
    ('pmp', 'same', 'holds a pmp run; it must be of pm'),
    ('pm', 'other', 'different tokenizers'),
  ],
)
def test_a_preference_model_that_does_not_match_is_named(
  tmp_path, monkeypatch, stage, tokenizer, said
):
  runs = {
    'pi0': inputs.Description(tmp_path, 'distill', {}, {}, 'same', {}),
    'pm': inputs.Description(tmp_path, stage, {}, {}, tokenizer, {}),
  }
  monkeypatch.setattr(inputs, 'describe_any', lambda name, _: runs[name])
  monkeypatch.setattr(PolicyLineage, 'distilled', lambda _: 'pi0')
  with pytest.raises(ValueError, match=said):
    online_models.describe_all(loop(tmp_path).line, [pathlib.Path('pm')], [])


@pytest.mark.parametrize(
  'change, said',
  [
    ({'snapshots': 3}, 'do not divide'),
    ({'snapshots': 0}, 'snapshots=0 must be positive'),
    ({'harmless_share': 1.5}, 'outside'),
    ({'tranche': 'a'}, 'of an iteration from 1 on'),
    ({'tranche': 'a', 'iteration': 1, 'seeds': (0, 1)}, 'one seed'),
    ({'iteration': -1}, 'iteration=-1 is < 0'),
  ],
)
def test_what_a_config_refuses(change, said):
  with pytest.raises(ValueError, match=said):
    dataclasses.replace(CONFIG, **{'iteration': 0, **change})


def test_the_rate_is_halved_as_in_the_paper():
  own = policies.online(Choice('hh', '52b', 'full')).rlhf
  samples = own.num_iterations * own.data.batch_size
  assert samples > 2 * own.lr_halving == 200_000
  assert (own.optimizer.schedule, own.optimizer.warmup_steps) == ('constant', 0)
  assert CONFIG.rlhf.lr_halving == 0


def test_snapshots_are_even_and_end_with_the_policy():
  config = policies.online(Choice('lab', 'nano2', 'full'))
  assert config.snapshot_steps == (20, 40, 60, 80)
  assert isinstance(config, config_lib.OnlineConfig)
