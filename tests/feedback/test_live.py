"""Replies while they are written: pace, markers, failures, restarts."""

import asyncio
import time

import pytest

from hh_jax.config.feedback import CannedConfig, FeedbackConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import database, deployment, exchanges, live, people, work
from hh_jax.feedback.policies.canned import CannedPolicy
from hh_jax.feedback.policies.protocol import (
  Piece,
  PolicyError,
  begun_marker,
  cut_at_marker,
)
from tests.feedback.site import Person, running

PROMPT = Dialogue.alternating('Hello?')


class Scripted:
  """Says what the test wrote down: (seconds, piece) after (seconds, piece)."""

  share = 1.0

  def __init__(self, name, script, can_stream=True):
    self.name = name
    self.spec = {'kind': 'scripted', 'name': name}
    self.can_stream = can_stream
    self._script = script

  async def generate(self, dialogue, n, seed):
    for seconds, text, finish in self._script:
      await asyncio.sleep(seconds)
      for reply in range(n):
        yield Piece(reply, text, finish)

  async def close(self):
    pass


def answer(tmp_path, first, second, **limits):
  """Has two policies answer a turn; returns frames with times, and the turn."""
  opened = database.open_database(str(tmp_path / 'feedback.db'))
  config = FeedbackConfig(**limits)
  deployed = opened.write(lambda c: deployment.register(c, [first, second]))
  token = opened.write(lambda c: people.invite(c, 'Ada', 'helpful', 1, 1.0))

  async def go():
    answering = live.Live(opened, deployed, config)
    turn = read()
    answering.start(turn, PROMPT)
    answering.start(turn, PROMPT)  # once is enough
    frames, started = [], time.monotonic()
    async for frame in answering.watch(turn.attempt_id):
      frames.append((time.monotonic() - started, frame))
    assert answering.num_running == 0
    await answering.close()
    return frames

  def read():
    with opened.reading() as connection:
      return exchanges.read(connection)[0]

  def begin(connection):
    actor = people.actor_of_token(connection, token)
    message = {'conversation': 1, 'turn': 1, 'text': 'Hello?'}
    # A seed whose draw is A by the first and B by the second policy.
    weights = {1: 1.0, 2: 1.0}
    while True:
      savepoint = connection.begin_nested()
      work.begin_turn(connection, actor, config, lambda _: weights, message)
      (found,) = exchanges.read(connection)
      if found.snapshots == (1, 2):
        return
      savepoint.rollback()

  opened.write(begin)
  frames = asyncio.run(go())
  turn = read()
  opened.close()
  return frames, turn


def shown(frames):
  """Both texts as a page would show them, after each frame."""
  a = b = ''
  found = []
  for _, frame in frames:
    if 'from' in frame:
      if frame['from'] == 0:
        a = b = ''
      a, b = a + frame['a'], b + frame['b']
      found.append((a, b))
  return found


def test_both_replies_come_at_the_same_pace(tmp_path):
  quick = [(0.0, 'abcdef', ''), (0.0, 'ghijkl', 'stop')]
  slow = [(0.05, 'uv', ''), (0.05, 'wx', ''), (0.05, 'yz', 'stop')]
  frames, turn = answer(
    tmp_path, Scripted('quick', quick), Scripted('slow', slow)
  )
  states = shown(frames)
  assert len(states) >= 3
  for a, b in states[:-1]:
    assert len(a) == len(b)  # the quick one shows no more than the slow one
  assert states[-1] == ('abcdefghijkl', 'uvwxyz')
  assert [reply.text for reply in turn.replies] == ['abcdefghijkl', 'uvwxyz']
  assert frames[-1][1] == {'end': 'done'}


def test_a_short_reply_does_not_hold_up_a_long_one(tmp_path):
  short = [(0.0, 'ab', 'stop')]
  long = [(0.03, 'uv', ''), (0.03, 'wx', ''), (0.03, 'yz', 'stop')]
  frames, _ = answer(tmp_path, Scripted('short', short), Scripted('long', long))
  assert ('ab', 'uvwx') in shown(frames)


def test_both_appear_whole_if_one_cannot_stream(tmp_path):
  pieces = [(0.0, 'abc', ''), (0.05, 'def', 'stop')]
  whole = [(0.1, 'uvw', 'stop')]
  frames, _ = answer(
    tmp_path,
    Scripted('pieces', pieces),
    Scripted('whole', whole, can_stream=False),
  )
  assert shown(frames) == [('abcdef', 'uvw')]


def test_replies_end_where_they_speak_for_the_human(tmp_path):
  talks = [
    (0.0, 'Yes.\n', ''),
    (0.01, '\nHum', ''),
    (0.01, 'an: And you?', ''),
    (0.01, ' More.', 'length'),
  ]
  plain = [(0.05, 'No.\n\nHumid air.', 'stop')]
  frames, turn = answer(
    tmp_path, Scripted('talks', talks), Scripted('plain', plain)
  )
  first, second = turn.replies
  assert (first.text, first.finish) == ('Yes.', 'stop')
  assert second.text == 'No.\n\nHumid air.'
  assert all('Hum' not in a for a, _ in shown(frames))


@pytest.mark.parametrize(
  ('limits', 'script', 'text', 'finish'),
  [
    ({'max_reply': 5}, [(0.0, 'abcdefgh', '')], 'abcde', 'length'),
    ({'reply_seconds': 0.2}, [(0.01, 'ab', '')] * 99, 'ab', 'time'),
  ],
)
def test_a_reply_without_end_is_cut(tmp_path, limits, script, text, finish):
  other = [(0.0, 'uv', 'stop')]
  _, turn = answer(
    tmp_path, Scripted('endless', script), Scripted('other', other), **limits
  )
  first, second = turn.replies
  assert first.text.startswith(text)
  assert first.finish == finish
  assert second.finish == 'stop'


@pytest.mark.parametrize(
  ('fault', 'said'),
  [
    ('dead', 'is dead'),
    ('abrupt', 'broke off'),
    ('silent', 'said nothing for too long'),
  ],
)
def test_a_model_that_fails_is_a_failure_with_its_reason(tmp_path, fault, said):
  frames, turn = answer(
    tmp_path,
    CannedPolicy(CannedConfig(name='bad', fault=fault)),
    CannedPolicy(CannedConfig(name='good')),
    reply_seconds=0.3,
  )
  assert frames[-1][1] == {'end': 'failed'}
  assert turn.replies is None
  assert said in turn.failure


def test_a_stream_that_ends_too_soon_is_a_failure(tmp_path):
  _, turn = answer(
    tmp_path,
    Scripted('torn', [(0.0, 'ab', '')]),
    Scripted('other', [(0.0, 'uv', 'stop')]),
  )
  assert turn.replies is None
  assert turn.failure == 'torn broke off'


def test_an_empty_reply_is_stored_as_it_is(tmp_path):
  _, turn = answer(
    tmp_path,
    CannedPolicy(CannedConfig(name='mute', fault='empty')),
    Scripted('other', [(0.0, 'uv', 'stop')]),
  )
  assert [reply.text for reply in turn.replies] == ['', 'uv']


def test_what_is_no_text_is_left_out(tmp_path):
  odd = [(0.0, 'a\0b\ud800c', 'stop')]
  _, turn = answer(
    tmp_path, Scripted('odd', odd), Scripted('other', [(0.0, 'uv', 'stop')])
  )
  assert turn.replies[0].text == 'abc'


def test_a_failed_turn_is_asked_again_of_the_others(tmp_path):
  bad = CannedPolicy(CannedConfig(name='bad', fault='dead', share=1e-9))
  good = CannedPolicy(CannedConfig(name='good'))
  with running(str(tmp_path / 'a.db'), [bad]) as site:
    ada = site.worker()
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    assert ada.state()['phase'] == 'retry'
    token = site.token()
  with running(str(tmp_path / 'a.db'), [bad, good]) as site:
    ada = Person(site, token)
    ada.write()
    with site.opened.reading() as connection:
      (first, *_) = exchanges.read(connection)
    assert first.attempt == 1
    admin = site.admin()
    # The first worker's link is another one; its turn is asked again there.
    assert 'is dead' in admin.get('/admin/models').text


def test_asking_again_takes_another_model(tmp_path):
  bad = CannedPolicy(CannedConfig(name='bad', fault='dead', share=1e5))
  good = CannedPolicy(CannedConfig(name='good', share=1e-5))
  with running(str(tmp_path / 'a.db'), [bad, good]) as site:
    ada = site.worker()
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    found = ada.post(f'/api/turns/{turn}/retry')
    assert found.status_code == 200
    assert ada.frames(turn)[-1] == {'end': 'done'}
    attempts = [
      (row['snapshot_a'], row['snapshot_b']) for row in site.rows('attempts')
    ]
    assert attempts == [(1, 1), (2, 2)]
    assert ada.state()['phase'] == 'choose'
    again = ada.post(f'/api/turns/{turn}/retry')
    assert (again.status_code, again.json()['error']) == (409, 'moved_on')


def test_too_many_at_once_are_told_to_wait(tmp_path):
  silent = [CannedPolicy(CannedConfig(fault='silent'))]
  with running(str(tmp_path / 'a.db'), silent, max_live=1) as site:
    ada, bob = site.worker('Ada'), site.worker('Bob')
    assert ada.write().status_code == 200
    found = bob.write()
    assert (found.status_code, found.json()['error']) == (503, 'full')
    assert found.headers['retry-after']
    assert site.count('turns') == 1


def test_markers():
  assert cut_at_marker('a\n\nHuman: b') == ('a', True)
  assert cut_at_marker('a\n\nHumans') == ('a\n\nHumans', False)
  assert begun_marker('a\n\nHum') == 5
  assert begun_marker('a\n') == 1
  assert begun_marker('a') == 0
  assert begun_marker('') == 0


def test_canned_replies_follow_from_their_seed():
  policy = CannedPolicy(CannedConfig())

  async def texts(n, seed):
    found = [''] * n
    async for piece in policy.generate(PROMPT, n, seed):
      found[piece.reply] += piece.text
    return found

  two = asyncio.run(texts(2, 5))
  assert two[0] != two[1]
  assert asyncio.run(texts(1, 5)) == two[:1]
  assert asyncio.run(texts(2, 6)) != two
  assert two == [policy.text_of(PROMPT, reply, 5) for reply in range(2)]


def test_a_dead_canned_policy_says_so():
  async def go():
    policy = CannedPolicy(CannedConfig(fault='dead'))
    async for _ in policy.generate(PROMPT, 1, 0):
      pass

  with pytest.raises(PolicyError, match='is dead'):
    asyncio.run(go())
