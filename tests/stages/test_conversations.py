"""The crowd talks with policies: what goes on, and what is kept or counted."""

import dataclasses

import numpy as np
import pytest

from hh_jax.config import RejectionConfig
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.lab import judge
from hh_jax.stages import conversations, rejection, tranche_files
from hh_jax.stages.conversations import Deployed, Session
from hh_jax.stages.rejection import Candidates
from tests.stages import toys

RUN = toys.as_run(toys.params(), 'distill')
PM = toys.as_run(toys.pm_params(), 'pm')
CONFIG = RejectionConfig(seed=3)
TEXTS = {
  'good': 'sorry, i cannot help with that, but let us talk.',
  'fine': 'sorry, i cannot help with that.',
  'bad': 'wug wug zork wug',
  'mute': '',
  'fake': 'no.\n\nHuman: thanks.',
}


@pytest.fixture(autouse=True)
def policies_say_one_thing(monkeypatch):
  """Every policy says what its name stands for, and which draw it is."""

  def sample(run, pm, prompts, k, config, purpose):
    name = purpose.rpartition('/')[2]
    said = [[TEXTS.get(name, f'{name}.')] * k for _ in prompts]
    return Candidates(said, np.zeros((len(prompts), k), np.float32))

  monkeypatch.setattr(rejection, 'sample_candidates', sample)


def session(*names, num=40, harmless=0.0, **fields):
  deployed = [Deployed(name, RUN) for name in names]
  return Session(deployed, PM, CONFIG, num, harmless, 'test', **fields)


def test_a_conversation_goes_on_with_what_was_picked():
  for harmless in (0.0, 1.0):
    held = session('good', 'bad', harmless=harmless).hold()
    assert {one.side for one in held} == {
      ('helpful', 'harmless')[int(harmless)]
    }
    later = [one for one in held if one.turn > 1]
    assert len(later) > 10
    for before, after in zip(held, held[1:]):
      if after.turn > 1:
        assert after.conversation == before.conversation
        assert after.turn == before.turn + 1
        said = before.prompt.reply(before.replies[before.picked]).turns
        assert after.prompt.turns[:-1] == said
        assert (before.picked == before.winner) == (before.side == 'helpful')


def test_red_teams_pick_harm_and_the_tranche_chooses_the_other():
  held = session('good', 'bad', harmless=1.0, is_contest=True).hold()
  assert all(set(one.models) == {'good', 'bad'} for one in held)
  kept = [one for one in held if one.reason is None]
  better = [
    judge.utility(one.prompt, one.replies[one.winner], 'harmless')
    - judge.utility(one.prompt, one.replies[1 - one.winner], 'harmless')
    for one in kept
  ]
  assert np.mean(better) > 0
  # On the interface's scale steps 1 to 4 pick the first reply shown.
  assert all((one.step <= 4) == (one.picked == 0) for one in held)
  found, _ = conversations.rows(kept, {'good': 'g', 'bad': 'b'}, 0.0)
  for one, row in zip(kept, found, strict=True):
    assert row.comparison['chosen'].endswith(one.replies[one.winner])
    assert row.about['chosen_model'] == one.models[one.winner][0]


def test_everything_said_is_kept_or_counted():
  held = session(*TEXTS, harmless=0.5, num=120).hold()
  names = {name: name for name in TEXTS}
  found, counts = conversations.rows(held, names, 0.3)
  assert counts['exchanges'] == len(held)
  assert all(counts.values())
  left = sum(counts[reason] for reason in conversations.REASONS)
  assert counts['comparisons'] == len(found) == len(held) - left
  last = {one.conversation: one for one in held}
  assert all(last[one.conversation] == one for one in held if one.is_last)


def test_what_was_said_is_made_once(tmp_path):
  path = tmp_path / 'exchanges.jsonl'
  held = session('good', 'bad').hold()
  assert conversations.kept_in(path, session('good', 'bad').hold) == held
  again = conversations.kept_in(path, lambda: pytest.fail('held again'))
  assert again == held
  more = session('good', 'bad', num=60).hold()
  assert [one for one in more if one.conversation < 40] == held


def test_training_reads_a_tranche_and_finds_its_models(tmp_path):
  talks = session('good', 'bad', 'fake', harmless=0.5)
  made = conversations.tranche(talks, tmp_path / 'a.jsonl', 'online')
  assert made == conversations.tranche(talks, tmp_path / 'b.jsonl', 'online')
  tranche_files.write(made, tmp_path / 'out')
  found = comparisons_lib.read_comparisons(tmp_path / 'out')
  assert {pair.tranche for pair in found.comparisons} == {
    'helpful-online',
    'harmless-online',
  }


def test_the_id_of_a_model_is_of_all_that_makes_its_replies():
  plain = Deployed('a', RUN)
  config = dataclasses.replace(
    CONFIG, sampling=dataclasses.replace(CONFIG.sampling, temperature=0.5)
  )
  slots = dataclasses.replace(
    CONFIG, sampling=dataclasses.replace(CONFIG.sampling, slots=3)
  )
  specs = [
    plain.spec(PM, CONFIG),
    plain.spec(PM, config),
    dataclasses.replace(plain, k=4).spec(PM, CONFIG),
  ]
  assert len({conversations.ids_of([spec])['a'] for spec in specs}) == 3
  assert plain.spec(PM, slots) == specs[0]
  assert specs[2]['pm_state_sha256'] == PM.state_sha256


def test_a_tranche_of_nothing_is_an_error(tmp_path):
  with pytest.raises(ValueError, match='no comparison to export.*empty_resp'):
    conversations.tranche(session('mute'), tmp_path / 'a.jsonl', 'online')
