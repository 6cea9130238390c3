"""From choices to files: what is flipped, dropped, counted, and the same."""

import gzip
import hashlib
import json
import random

import pytest

from hh_jax.config.feedback import CannedConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.feedback import export, tranche
from hh_jax.feedback.policies.canned import CannedPolicy
from hh_jax.stages import tranche_files
from tests.feedback.site import running


@pytest.fixture
def site(db):
  with running(db) as made:
    yield made


def build(site, test_fraction=0.25):
  with site.opened.reading() as connection:
    return export.build(connection, 'online', test_fraction)


def lines(made, name):
  return [json.loads(line) for line in gzip.decompress(made[name]).splitlines()]


def about(made):
  return json.loads(made['export.json'])


def test_the_more_harmful_reply_is_the_rejected_one(site):
  red, ada = site.worker('Red', 'red_team'), site.worker('Ada')
  for person in (red, ada):
    person.exchange('First.', step=1)
    person.exchange('Second.', step=8)
  made = build(site, 0.0)
  replies = {}
  for row in site.rows('replies'):
    replies.setdefault(row['attempt_id'], {})[row['slot']] = row['text']
  first, second, third, fourth = (replies[key] for key in sorted(replies))
  for side, one, two, flips in (
    ('harmless', first, second, True),
    ('helpful', third, fourth, False),
  ):
    rows = lines(made, f'{side}-online/train.jsonl.gz')
    picked = [one['a'], two['b']]
    other = [one['b'], two['a']]
    ends = [
      (
        row['chosen'].split('\n\nAssistant: ')[-1],
        row['rejected'].split('\n\nAssistant: ')[-1],
      )
      for row in rows
    ]
    expected = list(zip(picked, other))
    if flips:
      expected = [(b, a) for a, b in expected]
    assert ends == expected
    # The conversation went on with the reply that was picked.
    assert f'\n\nAssistant: {picked[0]}\n\nHuman: Second.' in rows[1]['chosen']
    assert set(rows[0]) == {'chosen', 'rejected'}


def test_everything_chosen_is_exported_or_counted(site):
  ada, bob = site.worker('Ada', number=20), site.worker('Bob', number=20)
  for step in range(1, 9):
    more = {'edit': 'Better than both.'} if step == 4 else {}
    ada.exchange(f'Message {step}.', step=step, **more)
  ada.finish()
  turn = bob.exchange('Reported.', step=2)
  bob.post(f'/api/turns/{turn}/report', {'slot': 'a', 'reason': 'Bad.'})
  bob.finish()
  bob.exchange('Skipped.', step=2, edit='In vain.')
  bob.finish(kind='skipped', comment='Wrong button.')
  bob.exchange('Marked.', step=2)
  bob.finish()
  number = bob.state()['conversation']['number'] - 1
  conversation = [
    row['id'] for row in site.rows('conversations') if row['number'] == number
  ][-1]
  site.admin().form(f'/admin/dialogues/{conversation}/check', verdict='refused')
  bob.exchange('Edited.', step=8, edit='In my own words.')
  bob.write('Not chosen yet.')
  made = build(site)
  counts = about(made)['counts']
  assert counts == {
    'chosen': 12,
    'exported_choices': 7,
    'without_choice': 1,
    'weak_step': 2,
    'skipped': 1,
    'reported': 1,
    'refused_work': 1,
    'empty_response': 0,
    'identical_pair': 0,
    'edits': 3,
    'exported_edits': 2,
    'edit_skipped': 1,
    'edit_reported': 0,
    'edit_refused_work': 0,
    'edit_empty_response': 0,
  }
  assert counts['chosen'] == counts['exported_choices'] + sum(
    counts[reason] for reason in tranche.REASONS
  )
  assert counts['edits'] == counts['exported_edits'] + sum(
    counts[f'edit_{reason}'] for reason in tranche.EDIT_REASONS
  )
  assert sum(about(made)['rows'].values()) == 9
  assert '7 of 12 choices and 2 of 3 edits' in export.summary(made)


def test_empty_and_equal_replies_are_left_out(tmp_path):
  mute = [CannedPolicy(CannedConfig(name='mute', fault='empty'))]
  with running(str(tmp_path / 'a.db'), mute) as site:
    site.worker().exchange()
    with pytest.raises(ValueError, match='no comparison to export'):
      build(site)


def test_an_export_is_of_one_moment(site, monkeypatch):
  site.worker().exchange()
  read = tranche.exchanges.read

  def read_later(connection):
    monkeypatch.setattr(tranche.exchanges, 'read', read)
    site.worker('Bob').exchange()  # another conversation begins meanwhile
    return read(connection)

  monkeypatch.setattr(tranche.exchanges, 'read', read_later)
  assert about(build(site))['counts']['chosen'] == 1


def test_an_edit_is_better_than_its_original(site):
  ada = site.worker()
  ada.exchange('Hello.', step=7, edit='Better.')
  choice, edit = lines(build(site, 0.0), 'helpful-online/train.jsonl.gz')
  original = choice['chosen'].split('\n\nAssistant: ')[-1]
  assert edit['chosen'].endswith('\n\nAssistant: Better.')
  assert edit['rejected'].endswith(f'\n\nAssistant: {original}')


def test_a_conversation_is_on_one_side_of_the_split(site):
  ada = site.worker(number=40)
  for number in range(8, 18):
    ada.exchange(f'Question {number}?')
    ada.exchange('And?')
    ada.finish()
  made = build(site)
  parts = {}
  for split in ('train', 'test'):
    rows = lines(made, f'helpful-online/{split}.jsonl.gz')
    for row in rows:
      first = row['chosen'].split('\n\n')[1].removeprefix('Human: ')
      parts.setdefault(first, set()).add(split)
      is_test = comparisons_lib.hash_unit(first) < 0.25
      assert is_test == (split == 'test')
  assert len(parts) == 10
  assert all(len(found) == 1 for found in parts.values())
  assert {'train', 'test'} == set().union(*parts.values())


def test_the_sidecar_tells_each_row(site):
  ada = site.worker()
  ada.exchange('Hello.', step=7, edit='Better.')
  made = build(site, 0.0)
  rows = lines(made, 'helpful-online/train.jsonl.gz')
  sides = lines(made, 'sidecar/helpful-online.train.jsonl.gz')
  assert len(rows) == len(sides) == 2
  choice, edit = sides
  assert (choice['kind'], choice['step'], choice['strength']) == (
    'choice',
    7,
    3,
  )
  assert choice['seconds'] == 4.5
  assert choice['chosen_slot'] == 'b'
  assert edit['kind'] == 'edit'
  models = about(made)['models']
  assert choice['chosen_model'] in models
  assert models[choice['chosen_model']]['kind'] == 'canned'
  worker = site.rows('workers')[0]
  assert choice['worker'] == worker['pseudonym']
  everything = (
    b''.join(gzip.decompress(d) for n, d in made.items() if n.endswith('.gz'))
    + made['export.json']
  )
  assert b'Ada' not in everything
  assert worker['pseudonym'].encode() in everything


def test_the_same_facts_give_the_same_bytes(site, tmp_path):
  ada = site.worker(number=9)
  for step in (1, 2, 7):
    ada.exchange(f'Message {random.random()}', step=step)
  first, second = build(site), build(site)
  assert first == second
  for name, digest in about(first)['sha256'].items():
    assert hashlib.sha256(first[name]).hexdigest() == digest
  tranche_files.write(first, str(tmp_path / 'out'))
  tranche_files.write(
    second, str(tmp_path / 'out')
  )  # there already, and the same
  ada.exchange('One more.')
  with pytest.raises(ValueError, match='is there already'):
    tranche_files.write(build(site), str(tmp_path / 'out'))


def test_training_reads_what_was_exported(site, tmp_path):
  for person in (site.worker('Ada'), site.worker('Red', 'red_team')):
    for step in (1, 3, 8):
      person.exchange('  Odd   spaces,\n\nparagraphs and ünïcode. 🙂 ', step)
  made = build(site, 0.0)
  tranche_files.write(made, str(tmp_path / 'out'))
  found = comparisons_lib.read_comparisons(tmp_path / 'out')
  assert found.num_read == found.num_kept == 6
  assert {pair.tranche for pair in found.comparisons} == {
    'helpful-online',
    'harmless-online',
  }
  assert {pair.side for pair in found.comparisons} == {'helpful', 'harmless'}


@pytest.mark.parametrize(
  ('name', 'fraction', 'said'),
  [
    ('../up', 0.1, 'is no name'),
    ('', 0.1, 'is no name'),
    ('online', 1.0, 'outside'),
    ('online', float('nan'), 'outside'),
  ],
)
def test_wrong_values_are_named(tmp_path, name, fraction, said):
  with running(str(tmp_path / 'a.db')) as site:
    site.worker().exchange()
    with (
      site.opened.reading() as connection,
      pytest.raises(ValueError, match=said),
    ):
      export.build(connection, name, fraction)


def test_the_command_line(tmp_path, capsys):
  db = str(tmp_path / 'a.db')
  assert export.main([f'--db={db}', f'--out={tmp_path / "out"}']) == 2
  assert 'does not exist' in capsys.readouterr().err
  with running(db) as site:
    site.worker().exchange()
  args = [f'--db={db}', f'--out={tmp_path / "out"}', '--tranche=week-1']
  assert export.main(args) == 0
  assert '1 of 1 choices' in capsys.readouterr().out
  assert (tmp_path / 'out' / 'export.json').is_file()
