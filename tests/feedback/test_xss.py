"""Text of workers, researchers and models never becomes markup."""

import re

import pytest

from hh_jax.feedback.policies.protocol import Piece, PolicyError
from tests.feedback import browser as browser_lib
from tests.feedback.browser import Served, page_of, until

pytestmark = pytest.mark.slow

RUN = 'window.executed=1'
PAYLOADS = [
  f'<script>{RUN}</script>',
  f'</script><script>{RUN}</script>',
  f'"><script>{RUN}</script>',
  f"'><img src=x onerror={RUN}>",
  f'<img src=x onerror="{RUN}">',
  f'<svg onload={RUN}>',
  f'<svg><script>{RUN}</script></svg>',
  f'<svg><animate onbegin={RUN} attributeName=x dur=1s>',
  f'<body onload={RUN}>',
  f'<iframe srcdoc="<script>parent.{RUN}</script>">',
  f'<iframe src="javascript:parent.{RUN}">',
  f'<a href="javascript:{RUN}" autofocus onfocus={RUN}>x</a>',
  f'<input autofocus onfocus={RUN}>',
  f'<select autofocus onfocus={RUN}>',
  f'<details open ontoggle={RUN}>',
  f'<video><source onerror={RUN}></video>',
  f'<math><mtext><script>{RUN}</script>',
  f'<template><script>{RUN}</script></template>',
  f'<noscript><p title="</noscript><img src=x onerror={RUN}>">',
  f'</textarea><script>{RUN}</script>',
  f'</title><script>{RUN}</script>',
  f'" autofocus onfocus="{RUN}" x="',
  f"' autofocus onfocus='{RUN}' x='",
  f'{{{{constructor.constructor("{RUN}")()}}}}',
  f'${{{RUN}}}',
  f'javascript:{RUN}',
  f'<!--><script>{RUN}</script>-->',
  f'<style>@import "javascript:{RUN}"</style>',
  f'<object data="data:text/html,<script>parent.{RUN}</script>">',
  f'<x onclick={RUN} style="position:fixed;inset:0">x</x>',
]


class Echo:
  """A model that answers with the last message."""

  share = 1.0
  can_stream = True

  def __init__(self):
    self.name = PAYLOADS[0]
    self.spec = {'kind': 'echo', 'odd': PAYLOADS[2]}

  async def generate(self, dialogue, replies, seed):
    text = dialogue.turns[-1].text
    if text.startswith('fail '):
      raise PolicyError(text)
    for reply in replies:
      yield Piece(reply, f'{text} {reply}', 'stop')

  async def close(self):
    pass


def fill(site):
  """Puts every payload into every field; returns what is to be seen."""
  texts = []
  for payload in PAYLOADS:
    message, edit, reason, comment, why = own = [
      f'{payload} as {field}'
      for field in ('message', 'edit', 'reason', 'comment', 'why')
    ]
    name = payload[:80].strip()
    person = site.worker(name, number=9)
    turn = person.exchange(message, step=1, edit=edit)
    person.post(f'/api/turns/{turn}/report', {'slot': 'a', 'reason': reason})
    person.finish(comment=comment)
    person.exchange(message, step=8)
    person.finish(kind='skipped', comment=why)
    failed = person.write(f'fail {payload}').json()['stored']['turn']
    assert person.frames(failed)[-1] == {'end': 'failed'}
    texts += [name, *own, f'{message} 0', f'{message} 1']
  return {' '.join(text.split()) for text in texts}


def executed(page):
  return page.evaluate('window.executed')


def test_no_payload_is_executed_anywhere(tmp_path):
  with (
    browser_lib.chromium() as browser,
    Served(str(tmp_path / 'a.db'), [Echo()]) as site,
  ):
    missing = fill(site)
    assert len(missing) >= 200
    with page_of(browser, site.link('', 'admin', 0)) as page:
      page.wait_for_url('**/admin')
      numbers = [row['id'] for row in site.rows('conversations')]
      workers = [row['id'] for row in site.rows('workers')][::10]
      paths = ['', '/workers', '/models', '/invites', '/dialogues']
      paths += [f'/dialogues/{number}' for number in numbers]
      paths += [f'/workers/{number}' for number in workers]
      for path in paths:
        page.goto(f'{site.url}/admin{path}')
        assert executed(page) is None, path
        content = ' '.join(page.text_content('body').split())
        missing = {text for text in missing if text not in content}
      assert not missing  # all were shown, as text
      for payload in PAYLOADS:
        page.goto(f'{site.url}/admin/dialogues')
        page.get_by_label('Text in messages').fill(payload)
        page.get_by_role('button', name='Search').click()
        page.wait_for_url(re.compile(r'[?&]q='))
        assert page.input_value('#q') == payload
        assert executed(page) is None, payload
    with page_of(browser, site.link(number=99)) as page:
      page.get_by_role('link', name='Start').click()
      for payload in PAYLOADS:
        page.wait_for_selector('#write:not([hidden])')
        page.fill('#message', payload)
        page.get_by_role('button', name='Send').click()
        page.wait_for_selector('#choose:not([hidden])')
        shown = page.inner_text('#reply-a .words')
        assert shown.startswith(payload)
        page.click('.steps label:has(input[value="1"])')
        page.get_by_role('button', name='Choose and go on').click()
        page.wait_for_selector('#write:not([hidden])')
        assert executed(page) is None, payload
        if page.is_disabled('#message'):
          page.get_by_role('button', name='Finish this conversation').click()
          page.get_by_text('4 · good').click()
          page.fill('#comment', payload)
          page.get_by_role('button', name='Finish', exact=True).click()
          until(page, "!document.querySelector('#message').disabled")


def test_the_policy_of_the_pages_stops_scripts_that_get_in(tmp_path):
  with (
    browser_lib.chromium() as browser,
    Served(str(tmp_path / 'a.db')) as site,
  ):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f'{site.url}/join')
    page.evaluate(
      "() => { document.body.insertAdjacentHTML('beforeend', "
      '\'<img src=x onerror="window.executed=1">\'); '
      "const s = document.createElement('script'); "
      "s.textContent = 'window.executed=2'; document.body.append(s); }"
    )
    page.wait_for_timeout(200)
    assert executed(page) is None
    context.close()
