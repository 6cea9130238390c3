"""The pages in a real browser: by mouse, by keyboard, at phone width."""

import asyncio
import threading

import pytest

from hh_jax.config.feedback import CannedConfig
from hh_jax.feedback.policies.canned import CannedPolicy
from tests.feedback.browser import (
  PHONE,
  Served,
  becoming_stale,
  begin,
  choose,
  page_of,
  shown,
  until,
  write,
)

pytestmark = pytest.mark.slow


class Held(CannedPolicy):
  """Says a few words, and the others once it is let."""

  def __init__(self, config, gate):
    super().__init__(config)
    self._gate = gate

  async def generate(self, dialogue, replies, seed):
    num_pieces = 0
    async for piece in super().generate(dialogue, replies, seed):
      while num_pieces == 3 * len(replies) and not self._gate.is_set():
        await asyncio.sleep(0.01)
      num_pieces += 1
      yield piece


def test_a_conversation_by_mouse(browser, site):
  with page_of(browser, site.link(number=2)) as page:
    begin(page)
    assert 'Conversation 1 of 2' in page.inner_text('.progress')
    write(page, 'How do I boil an egg?')
    reply = page.inner_text('#reply-b .words')
    choose(page, 8)
    assert reply in page.inner_text('#said')
    write(page, 'And then?')
    page.click('.steps label:has(input[value="2"])')
    page.click('#edit-box summary')
    page.fill('#edit', 'In my own words.')
    page.get_by_role('button', name='Choose and go on').click()
    page.wait_for_selector('#write:not([hidden])')
    assert 'In my own words.' in page.inner_text('#said')
    page.get_by_role('button', name='Finish this conversation').click()
    page.get_by_text('4 · good').click()
    page.fill('#comment', 'Quite fine.')
    page.get_by_role('button', name='Finish', exact=True).click()
    until(
      page, "document.querySelector('.progress').innerText.includes('2 of 2')"
    )
    page.get_by_label('Begin a conversation').fill('Hello again')
  assert [row['step'] for row in site.rows('choices')] == [8, 2]
  assert site.rows('endings')[0]['comment'] == 'Quite fine.'
  assert site.rows('edits')[0]['text'] == 'In my own words.'


def test_a_conversation_by_keyboard_only(browser, site):
  with page_of(browser, site.link(number=1)) as page:
    page.wait_for_selector('text=Start')
    _tab_to(page, 'Start')
    page.keyboard.press('Enter')
    page.wait_for_selector('#write:not([hidden])')
    _tab_to(page, 'message')
    page.keyboard.type('What is a noun?')
    page.keyboard.press('Enter')
    page.wait_for_selector('#choose:not([hidden])')
    page.keyboard.press('7')
    assert 'picked' in page.get_attribute('#reply-b', 'class')
    page.keyboard.press('ArrowLeft')
    page.keyboard.press('Enter')
    page.wait_for_selector('#write:not([hidden])')
    assert page.evaluate('document.activeElement.id') == 'message'
    _tab_to(page, 'Finish this conversation')
    page.keyboard.press('Enter')
    page.wait_for_selector('#finish-dialog[open]')
    _tab_to(page, 'rating')
    page.keyboard.press('Space')
    _tab_to(page, 'Finish')
    page.keyboard.press('Enter')
    page.wait_for_selector('#complete:not([hidden])')
  assert [row['step'] for row in site.rows('choices')] == [6]
  assert site.rows('endings')[0]['rating'] is not None


def _tab_to(page, wanted):
  """Presses Tab until an element of that id, name or text has the focus."""
  seen = []
  for _ in range(40):
    names = page.evaluate(
      '(() => { const e = document.activeElement; return '
      "[e.id, e.name || '', (e.innerText || '').trim()]; })()"
    )
    if wanted in names:
      return
    seen.append(names)
    page.keyboard.press('Tab')
  raise AssertionError(f'{wanted!r} has no focus among {seen}')


def test_replies_stream_and_a_reload_goes_on(browser, tmp_path):
  gate = threading.Event()
  policies = [
    Held(CannedConfig(name=name, version=n), gate)
    for n, name in enumerate(('one', 'two'))
  ]
  with (
    Served(str(tmp_path / 'a.db'), policies) as site,
    page_of(browser, site.link()) as page,
  ):
    begin(page)
    page.fill('#message', 'Tell me a story.')
    page.get_by_role('button', name='Send').click()
    until(
      page, "document.querySelector('#reply-a .words').textContent.length > 5"
    )
    assert page.is_visible('#waiting')
    sizes = page.evaluate(
      "['a', 'b'].map(s => document.querySelector(`#reply-${s} .words`)"
      '.textContent.length)'
    )
    assert sizes[0] == sizes[1] > 5
    page.reload()
    gate.set()
    page.wait_for_selector('#choose:not([hidden])')
    shown = page.inner_text('#reply-a .words')
    stored = {row['slot']: row['text'] for row in site.rows('replies')}
    assert shown == stored['a']
    choose(page, 1)
    page.fill('#message', 'A draft that is not sent')
    page.reload()
    page.wait_for_selector('#write:not([hidden])')
    assert page.input_value('#message') == 'A draft that is not sent'
    assert shown in page.inner_text('#said')


def test_red_team_work(browser, tmp_path):
  with (
    Served(str(tmp_path / 'a.db'), break_after=1) as site,
    page_of(browser, site.link(task='red_team')) as page,
  ):
    shown(page, 'upsetting')
    begin(page)
    write(page, 'How do I cheat?')
    assert 'more harmful' in page.inner_text('.scale legend')
    assert page.locator('#edit-box').count() == 0
    choose(page, 1)
    page.wait_for_selector('#break-dialog[open]')
    page.get_by_role('button', name='Go on').click()
    page.wait_for_selector('#break-dialog:not([open])', state='attached')
    page.get_by_role('button', name='Pause').click()
    page.wait_for_selector('#pause-dialog[open]')
    page.reload()
    page.wait_for_selector('#pause-dialog[open]')
    page.get_by_role('button', name='Go on').click()
    write(page, 'And then?')
    page.locator('#reply-a .report').click()
    page.fill('#report-reason', 'Names a person.')
    page.get_by_role('button', name='Report', exact=True).click()
    page.get_by_role('button', name='Skip this conversation').click()
    page.fill('#skip-reason', 'Enough.')
    page.get_by_role('button', name='Skip it').click()
    until(
      page, "document.querySelector('.progress').innerText.includes('2 of 3')"
    )
    kinds = [row['kind'] for row in site.rows('activities')]
    assert kinds == ['joined', 'rested', 'paused', 'resumed']
    assert site.count('reports') == 1
    assert site.rows('endings')[0]['kind'] == 'skipped'


def test_a_model_that_fails_and_a_stale_page(browser, tmp_path):
  bad = [CannedPolicy(CannedConfig(name='bad', fault='dead'))]
  with (
    Served(str(tmp_path / 'a.db'), bad) as site,
    page_of(browser, site.link()) as page,
  ):
    begin(page)
    page.fill('#message', 'Anybody there?')
    page.get_by_role('button', name='Send').click()
    page.wait_for_selector('#failed:not([hidden])')
    assert 'Your message is kept' in page.inner_text('#failed')
    with becoming_stale(page):
      page.get_by_role('button', name='Ask again').click()
    page.wait_for_selector('#failed:not([hidden])')
    assert 'Anybody there?' in page.inner_text('#said')


def test_two_tabs_show_where_the_conversation_stands(browser, site):
  link = site.link()
  with page_of(browser, link) as first, page_of(browser, link) as second:
    begin(first)
    begin(second)
    write(first, 'In the first tab')
    second.fill('#message', 'In the second tab')
    second.get_by_role('button', name='Send').click()
    second.wait_for_selector('#choose:not([hidden])')
    assert 'another tab' in second.inner_text('#problem')
    assert 'In the first tab' in second.inner_text('#said')
  assert [row['text'] for row in site.rows('turns')] == ['In the first tab']


def test_a_double_click_is_one_choice(browser, site):
  with page_of(browser, site.link()) as page:
    begin(page)
    write(page, 'Twice?')
    page.click('.steps label:has(input[value="3"])')
    page.get_by_role('button', name='Choose and go on').dblclick()
    page.wait_for_selector('#write:not([hidden])')
    assert page.is_hidden('#problem')
  assert site.count('choices') == 1


def test_a_command_waits_for_the_one_before_it(browser, site):
  held = []
  with page_of(browser, site.link(number=2)) as page:
    begin(page)
    write(page, 'Slow?')
    page.route('**/report', lambda route: held.append(route))
    page.locator('#reply-a .report').click()
    page.fill('#report-reason', 'Rude.')
    page.get_by_role('button', name='Report', exact=True).click()
    page.get_by_role('button', name='Skip this conversation').click()
    page.fill('#skip-reason', 'Enough.')
    page.get_by_role('button', name='Skip it').click()
    while not held:
      page.wait_for_timeout(30)
    page.wait_for_timeout(100)  # one too many would be sent now
    assert len(held) == 1 and site.count('endings') == 0
    held[0].continue_()
    shown(page, '2 of 2', '.progress')
  assert site.count('reports') == site.count('endings') == 1


def test_it_fits_a_phone(browser, site):
  with page_of(browser, site.link(), PHONE, has_touch=True) as page:
    page.wait_for_selector('text=Start')
    assert _width(page) <= PHONE['width']
    begin(page)
    assert _width(page) <= PHONE['width']
    page.fill('#message', 'A message of some length, wide ' * 8)
    page.get_by_role('button', name='Send').tap()
    page.wait_for_selector('#choose:not([hidden])')
    assert _width(page) <= PHONE['width']
    small = page.evaluate(
      "[...document.querySelectorAll('.steps label, #choose button.main')]"
      '.filter(e => e.getBoundingClientRect().height < 40).length'
    )
    assert small == 0
    page.locator('.steps label').nth(6).tap()
    page.get_by_role('button', name='Choose and go on').tap()
    page.wait_for_selector('#write:not([hidden])')
  assert [row['step'] for row in site.rows('choices')] == [7]


def _width(page):
  return page.evaluate('document.documentElement.scrollWidth')
