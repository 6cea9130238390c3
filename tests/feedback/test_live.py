"""Replies while they are written: pace, markers, failures, restarts."""

import asyncio
import math

import pytest

from hh_jax.config.feedback import CannedConfig, FeedbackConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback import (
  database,
  deployment,
  exchanges,
  live,
  people,
  work,
)
from hh_jax.feedback.policies.canned import CannedPolicy
from hh_jax.feedback.policies.protocol import (
  Piece,
  PolicyError,
  begun_marker,
  cut_at_marker,
)
from tests.feedback.site import texts_after

PROMPT = Dialogue.alternating('Hello?')

NEVER = math.inf


class Scripted:
  """Says what the test wrote down, each piece once its time has come.

  A piece is (how many frames the page must have seen, text, finish), so that
  what happens does not depend on the clock.
  """

  share = 1.0

  def __init__(self, name, script, can_stream=True):
    self.name = name
    self.spec = {'kind': 'scripted', 'name': name}
    self.can_stream = can_stream
    self._script = script
    self.frames = []  # that the page has seen

  async def generate(self, dialogue, replies, seed):
    for num_frames, text, finish in self._script:
      while len(self.frames) < num_frames:
        await asyncio.sleep(0.001)
      for reply in replies:
        yield Piece(reply, text, finish)
      for _ in range(20):  # a page that may show more of it does so now
        await asyncio.sleep(0)

  async def close(self):
    pass


def answer(tmp_path, first, second, **limits):
  """Has two policies answer a turn; returns the frames and the turn."""
  opened = database.open_database(str(tmp_path / 'feedback.db'))
  config = FeedbackConfig(**limits)
  deployed = opened.write(lambda c: deployment.register(c, [first, second]))
  token = opened.write(lambda c: people.invite(c, 'Ada', 'helpful', 1, 1.0))

  async def go():
    answering = live.Live(opened, deployed, config)
    turn = read()
    answering.start(turn, PROMPT)
    answering.start(turn, PROMPT)  # once is enough
    frames = []
    for policy in (first, second):
      policy.frames = frames
    async for frame in answering.watch(turn.attempt_id):
      frames.append(frame)
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


def test_both_replies_come_at_the_same_pace(tmp_path):
  quick = [(0, 'abcdef', ''), (0, 'ghijkl', 'stop')]
  slow = [(0, 'uv', ''), (1, 'wx', ''), (2, 'yz', 'stop')]
  frames, turn = answer(
    tmp_path, Scripted('quick', quick), Scripted('slow', slow)
  )
  # The quick one shows no more than the slow one until both have ended.
  assert texts_after(frames) == [
    ('ab', 'uv'),
    ('abcd', 'uvwx'),
    ('abcdefghijkl', 'uvwxyz'),
  ]
  assert [reply.text for reply in turn.replies] == ['abcdefghijkl', 'uvwxyz']
  assert frames[-1] == {'end': 'done'}


def test_how_replies_end_does_not_tell_which_was_quicker(tmp_path):
  long, short = ('abcd', 'efgh', 'ijkl'), ('uv', 'wx')
  shapes = []
  for is_long_quick in (False, True):
    scripts = [
      [
        (0 if is_quick or place == 0 else 1, text, '')
        for place, text in enumerate(texts)
      ]
      for texts, is_quick in ((long, is_long_quick), (short, not is_long_quick))
    ]
    folder = tmp_path / str(is_long_quick)
    folder.mkdir()
    policies = [
      Scripted(name, [*script, (1, '', 'stop')])
      for name, script in zip(('long', 'short'), scripts)
    ]
    frames, _ = answer(folder, *policies)
    shapes.append([(len(a), len(b)) for a, b in texts_after(frames)])
  assert shapes[0][-1] == (12, 4)
  assert shapes[0] == shapes[1]


def test_both_appear_whole_if_one_cannot_stream(tmp_path):
  pieces = [(0, 'abc', ''), (0, 'def', 'stop')]
  whole = [(0, 'uvw', 'stop')]
  frames, _ = answer(
    tmp_path,
    Scripted('pieces', pieces),
    Scripted('whole', whole, can_stream=False),
  )
  assert texts_after(frames) == [('abcdef', 'uvw')]


def test_replies_end_where_they_speak_for_the_human(tmp_path):
  talks = [
    (0, 'Yes.\n', ''),
    (1, '\nHum', ''),
    (1, 'an: And you?', ''),
    (1, ' More.', 'length'),
  ]
  plain = [(0, 'No.\n\nHumid air.', 'stop')]
  frames, turn = answer(
    tmp_path, Scripted('talks', talks), Scripted('plain', plain)
  )
  first, second = turn.replies
  assert (first.text, first.finish) == ('Yes.', 'stop')
  assert second.text == 'No.\n\nHumid air.'
  assert all('Hum' not in a for a, _ in texts_after(frames))


@pytest.mark.parametrize(
  ('limits', 'script', 'text', 'finish'),
  [
    ({'max_reply': 5}, [(0, 'abcdefgh', '')], 'abcde', 'length'),
    (
      {'reply_seconds': 0.2},
      [(0, 'ab', ''), (NEVER, '', 'stop')],
      'ab',
      'time',
    ),
  ],
)
def test_a_reply_without_end_is_cut(tmp_path, limits, script, text, finish):
  other = [(0, 'uv', 'stop')]
  _, turn = answer(
    tmp_path, Scripted('endless', script), Scripted('other', other), **limits
  )
  first, second = turn.replies
  assert (first.text, first.finish) == (text, finish)
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
  assert frames[-1] == {'end': 'failed'}
  assert turn.replies is None
  assert said in turn.failure


def test_a_stream_that_ends_too_soon_is_a_failure(tmp_path):
  _, turn = answer(
    tmp_path,
    Scripted('torn', [(0, 'ab', '')]),
    Scripted('other', [(0, 'uv', 'stop')]),
  )
  assert turn.replies is None
  assert turn.failure == 'torn broke off'


def test_an_empty_reply_is_stored_as_it_is(tmp_path):
  _, turn = answer(
    tmp_path,
    CannedPolicy(CannedConfig(name='mute', fault='empty')),
    Scripted('other', [(0, 'uv', 'stop')]),
  )
  assert [reply.text for reply in turn.replies] == ['', 'uv']


def test_what_is_no_text_is_left_out(tmp_path):
  odd = [(0, 'a\0b\r', ''), (0, '\n\ud800c', 'stop')]
  _, turn = answer(
    tmp_path, Scripted('odd', odd), Scripted('other', [(0, 'uv', 'stop')])
  )
  assert turn.replies[0].text == 'ab\nc'


def test_markers():
  assert cut_at_marker('a\n\nHuman: b') == ('a', True)
  assert cut_at_marker('a\n\nHumans') == ('a\n\nHumans', False)
  assert cut_at_marker('a\n\n-----\nb') == ('a\n\n-----\nb', False)
  assert begun_marker('a\n\nHum') == 5
  assert begun_marker('a\n') == 1
  assert begun_marker('a') == 0
  assert begun_marker('') == 0


def test_canned_replies_follow_from_their_seed():
  policy = CannedPolicy(CannedConfig())

  async def texts(replies, seed):
    found = dict.fromkeys(replies, '')
    async for piece in policy.generate(PROMPT, replies, seed):
      found[piece.reply] += piece.text
    return list(found.values())

  two = asyncio.run(texts((0, 1), 5))
  assert two[0] != two[1]
  assert asyncio.run(texts((1,), 5)) == two[1:]
  assert asyncio.run(texts((0, 1), 6)) != two
  assert two == [policy.text_of(PROMPT, reply, 5) for reply in range(2)]


def test_a_dead_canned_policy_says_so():
  async def go():
    policy = CannedPolicy(CannedConfig(fault='dead'))
    async for _ in policy.generate(PROMPT, (0,), 0):
      pass

  with pytest.raises(PolicyError, match='is dead'):
    asyncio.run(go())
