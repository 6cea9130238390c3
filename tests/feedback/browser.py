"""Debian's Chromium, driven by Playwright, at a server on this machine."""

import contextlib
import pathlib
import shutil
import time

import httpx
import pytest

from tests.feedback.site import Site, listening

PHONE = {'width': 360, 'height': 740}
DESK = {'width': 1180, 'height': 820}


def chromium():
  """A browser; skips the test where Playwright or Chromium is missing."""
  api = pytest.importorskip(
    'playwright.sync_api', reason='needs the extra: pip install hh_jax[dev]'
  )
  program = shutil.which('chromium')
  if program is None:
    pytest.skip('no browser: install the package chromium')

  @contextlib.contextmanager
  def run():
    with api.sync_playwright() as play:
      browser = play.chromium.launch(
        executable_path=program, args=['--no-sandbox', '--disable-gpu']
      )
      try:
        yield browser
      finally:
        browser.close()

  return run()


class Served(Site):
  """A site that browsers can open."""

  def __enter__(self):
    self._stack = contextlib.ExitStack()
    self.url = self._stack.enter_context(listening(self.app))
    return self

  def __exit__(self, *error):
    self._stack.close()

  def new_client(self):
    return httpx.Client(base_url=self.url)

  def link(self, *args, **more):
    return f'{self.url}/join#{self.token(*args, **more)}'


@contextlib.contextmanager
def page_of(browser, link, viewport=DESK, **more):
  """A page that opened a link; fails on any error in the page."""
  context = browser.new_context(viewport=viewport, **more)
  page = context.new_page()
  page.set_default_timeout(10_000)
  errors = []
  page.on('pageerror', lambda error: errors.append(str(error)))
  page.on(
    'console',
    lambda message: (
      errors.append(message.text)
      if 'Content Security Policy' in message.text
      else None
    ),
  )
  page.goto(link)
  page.wait_for_url(lambda url: '/join' not in url)
  try:
    yield page
    assert not errors, errors
  finally:
    context.close()


def shown(page, text, place='main'):
  """Waits until a place shows a text."""
  page.locator(place).filter(has_text=text).first.wait_for()


def until(page, expression, seconds=10.0):
  """Waits until an expression is true; the pages' policy allows no eval."""
  ends = time.monotonic() + seconds
  while not page.evaluate(expression):
    assert time.monotonic() < ends, f'never true: {expression}'
    page.wait_for_timeout(30)


def begin(page):
  page.get_by_role('link', name='Start').click()
  page.wait_for_selector('#write:not([hidden])')


def write(page, text):
  page.fill('#message', text)
  page.get_by_role('button', name='Send').click()
  page.wait_for_selector('#choose:not([hidden])')


def choose(page, step):
  page.locator(f'.steps label:has(input[value="{step}"])').click()
  page.get_by_role('button', name='Choose and go on').click()
  page.wait_for_selector('#write:not([hidden])')


@contextlib.contextmanager
def becoming_stale(page):
  """What is sent inside is refused; then the page is loaded anew."""
  page.evaluate(
    "() => { document.querySelector('meta[name=page-version]').content = 'old';"
    ' window.setTimeout = (act) => { window.later = act; }; }'
  )
  yield
  shown(page, 'new version', '#problem')
  with page.expect_event('load'):
    page.evaluate('() => window.later()')


def without_pauses(page):
  """What a page does later it does at once."""
  page.evaluate(
    '() => { const later = window.setTimeout;'
    ' window.setTimeout = (act) => later(act, 0); }'
  )


def axe_source():
  """The accessibility checker; skips the test where it is missing."""
  module = pytest.importorskip(
    'axe_playwright_python', reason='needs the extra: pip install hh_jax[dev]'
  )
  (path,) = pathlib.Path(module.__file__).parent.rglob('axe.min.js')
  return path.read_text(encoding='utf-8')


def serious_faults(page, source):
  """What axe finds that is serious or worse, by rule and place."""
  page.evaluate(source)
  found = page.evaluate('async () => (await axe.run()).violations')
  return [
    (fault['id'], node['target'], node['failureSummary'])
    for fault in found
    if fault['impact'] in ('serious', 'critical')
    for node in fault['nodes']
  ]
