"""The OpenAI protocol, against a real server on a port of this machine."""

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.responses import (
  JSONResponse,
  PlainTextResponse,
  StreamingResponse,
)
from starlette.routing import Route

from hh_jax.config.feedback import HTTPConfig
from hh_jax.data.dialogue import Dialogue
from hh_jax.feedback.policies.protocol import PolicyError
from hh_jax.feedback.policies.remote import RemotePolicy
from tests.feedback.site import Person, listening, running

PROMPT = Dialogue.alternating('Hi.', 'Hello!', 'How are you?')


class Backend:
  """A server of the protocol; `fault` is how it fails."""

  def __init__(self):
    self.asked = []
    self.fault = ''
    self.app = Starlette(
      routes=[
        Route('/v1/chat/completions', self.chat, methods=['POST']),
        Route('/v1/completions', self.completions, methods=['POST']),
      ]
    )

  async def chat(self, request):
    body = await self._body(request)
    last = body['messages'][-1]['content']
    words = [' I', ' heard', f' {last}', f' with seed {body["seed"]}']
    deltas = [{'role': 'assistant'}, *({'content': word} for word in words)]
    return self._stream([{'delta': delta} for delta in deltas], body)

  async def completions(self, request):
    body = await self._body(request)
    words = [' A', ' transcript', f' of {len(body["prompt"])}']
    return self._stream([{'text': word} for word in words], body)

  async def _body(self, request):
    body = await request.json()
    self.asked.append((body, dict(request.headers)))
    return body

  def _stream(self, choices, body):
    if self.fault == 'busy':
      return JSONResponse({'error': 'overloaded'}, 503)
    if self.fault == 'page':
      return PlainTextResponse('It works!')
    finish = 'length' if body['max_tokens'] < 9 else 'stop'

    async def events():
      yield ': a comment\n\n'
      for choice in choices:
        yield _event({'choices': [{'index': 0, **choice}]})
        await asyncio.sleep(0)
        if self.fault == 'garbage':
          yield 'data: {"choices": 7}\n\n'
        if self.fault == 'torn':
          return
        if self.fault == 'silent':
          await asyncio.sleep(60)
      yield _event({'choices': [{'index': 0, 'finish_reason': finish}]})
      yield _event({'choices': [], 'usage': {'total_tokens': 5}})
      yield 'data: [DONE]\n\n'

    return StreamingResponse(events(), media_type='text/event-stream')


def _event(value):
  return f'data: {json.dumps(value)}\n\n'


@pytest.fixture(scope='module')
def served():
  backend = Backend()
  with listening(backend.app) as url:
    yield backend, url


@pytest.fixture
def backend(served):
  served[0].asked.clear()
  served[0].fault = ''
  return served[0]


def policy(url, **fields):
  return RemotePolicy(HTTPConfig(url=f'{url}/v1', model='m', **fields))


def replies(policy, n=1, seed=7, timeout=5.0):
  async def go():
    texts, ends = [''] * n, [''] * n
    async with asyncio.timeout(timeout):
      async for piece in policy.generate(PROMPT, range(n), seed):
        texts[piece.reply] += piece.text
        ends[piece.reply] = piece.finish
    await policy.close()
    return texts, ends

  return asyncio.run(go())


def test_chat(served, backend, monkeypatch):
  monkeypatch.setenv('MY_KEY', 'secret')
  asked = policy(served[1], temperature=0.5, top_p=0.9, key_variable='MY_KEY')
  texts, ends = replies(asked, n=2)
  assert sorted(texts) == [
    'I heard How are you? with seed 7',
    'I heard How are you? with seed 8',
  ]
  assert texts[0].endswith('7')
  assert ends == ['stop', 'stop']
  body, headers = backend.asked[0]
  assert headers['authorization'] == 'Bearer secret'
  assert [m['role'] for m in body['messages']] == ['user', 'assistant', 'user']
  assert (body['temperature'], body['top_p'], body['stream']) == (
    0.5,
    0.9,
    True,
  )
  assert 'secret' not in json.dumps(asked.spec)


def test_completions_of_a_transcript(served, backend):
  texts, _ = replies(policy(served[1], api='completions'))
  prompt = backend.asked[0][0]['prompt']
  assert prompt == (
    '\n\nHuman: Hi.\n\nAssistant: Hello!\n\nHuman: How are you?\n\nAssistant:'
  )
  assert texts == [f'A transcript of {len(prompt)}']


def test_a_reply_that_was_cut(served, backend):
  assert replies(policy(served[1], max_new_tokens=3))[1] == ['length']


@pytest.mark.parametrize(
  ('fault', 'said'),
  [
    ('busy', 'status 503'),
    ('page', 'not a stream'),
    ('garbage', 'no event'),
    ('torn', 'broke off'),
  ],
)
def test_what_is_not_the_protocol_is_named(served, backend, fault, said):
  backend.fault = fault
  with pytest.raises(PolicyError, match=said):
    replies(policy(served[1]))


def test_a_dead_server_is_named():
  with pytest.raises(PolicyError, match='m: '):
    replies(policy('http://127.0.0.1:1'))


def test_a_worker_gets_replies_of_the_server(served, backend, tmp_path):
  with running(str(tmp_path / 'a.db'), [policy(served[1])]) as site:
    ada = site.worker()
    ada.exchange('Tell me more.')
    (turn,) = ada.state()['conversation']['turns']
    assert turn['answer'].startswith('I heard Tell me more. with seed ')
    seed = site.rows('attempts')[0]['seed']
    assert turn['answer'].endswith(f' {seed}')


def test_a_silent_server_is_a_failure_that_can_be_tried_again(
  served, backend, tmp_path
):
  backend.fault = 'silent'
  db = str(tmp_path / 'a.db')
  with running(db, [policy(served[1])], reply_seconds=0.5) as site:
    token = site.token()
    ada = Person(site, token)
    turn = ada.write().json()['stored']['turn']
    assert ada.frames(turn)[-1] == {'end': 'failed'}
    assert ada.state()['phase'] == 'retry'
  backend.fault = ''
  with running(db, [policy(served[1])]) as site:
    ada = Person(site, token)
    assert ada.post(f'/api/turns/{turn}/retry').status_code == 200
    assert ada.frames(turn)[-1] == {'end': 'done'}
    assert 'too long' in site.rows('failures')[0]['reason']
