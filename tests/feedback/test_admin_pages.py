"""The researcher's pages in a real browser; all pages, read by axe-core."""

import re

import pytest

from tests.feedback import browser as browser_lib
from tests.feedback.browser import (
  Served,
  begin,
  page_of,
  shown,
  write,
)

pytestmark = pytest.mark.slow


def fill(site):
  """Some work of several people, for the researcher's pages."""
  for number, name in enumerate(('Ada', 'Grace', 'Alan')):
    task = 'red_team' if number == 2 else 'helpful'
    person = site.worker(name, task, number=12)
    for place in range(6):
      person.exchange(f'Question {place} of {name}?', step=1 + (place * 3) % 8)
      person.exchange('And then?', step=8 - place)
      person.finish(rating=1 + place % 5, comment='Noted.')


@pytest.fixture(scope='module')
def filled(tmp_path_factory):
  """A site with work done."""
  with Served(str(tmp_path_factory.mktemp('filled') / 'a.db')) as made:
    fill(made)
    yield made


def test_the_researchers_pages(browser, filled):
  link = filled.link('', 'admin', 0)
  with page_of(browser, link) as page:
    page.wait_for_url('**/admin')
    shown(page, 'Elo')
    shown(page, 'Comparisons per hour')
    page.locator('svg.plot').nth(3).wait_for()
    page.get_by_role('link', name='Dialogues').click()
    page.get_by_label('Text in messages').fill('question 3 of ADA')
    page.get_by_role('button', name='Search').click()
    page.wait_for_url(re.compile(r'[?&]q='))
    page.wait_for_load_state()
    assert page.locator('tbody tr').count() == 1
    page.get_by_role('link', name=re.compile('Question 3 of Ada')).click()
    page.get_by_role('button', name='Do not use').click()
    shown(page, 'left out of exports')
    page.get_by_role('link', name='Workers').click()
    page.get_by_role('link', name='Grace').click()
    shown(page, 'Question 5 of Grace?')
    page.get_by_role('link', name='Models').click()
    page.get_by_role('button', name='Pause one').click()
    shown(page, 'Let go on')
    page.get_by_role('button', name='Let go on one').click()
    page.get_by_role('link', name='Invites').click()
    page.get_by_label('Names').fill('Edsger\nBarbara')
    page.get_by_role('button', name='Make links').click()
    shown(page, f'{filled.url}/join#', '.links')
    assert page.locator('.links code').count() == 2
    page.get_by_role('link', name='Export').click()
    with page.expect_download() as download:
      page.get_by_role('button', name='Download').click()
    assert download.value.suggested_filename == 'online.zip'


def test_no_serious_accessibility_fault(browser, filled):
  source = browser_lib.axe_source()
  faults = []
  with page_of(browser, filled.link('Axe')) as page:
    page.wait_for_selector('text=Start')
    faults += browser_lib.serious_faults(page, source)
    begin(page)
    faults += browser_lib.serious_faults(page, source)
    write(page, 'Is this readable?')
    page.click('.steps label:has(input[value="2"])')
    faults += browser_lib.serious_faults(page, source)
    page.get_by_role('button', name='Skip this conversation').click()
    faults += browser_lib.serious_faults(page, source)
  for scheme in ('light', 'dark'):
    with page_of(
      browser, filled.link('', 'admin', 0), color_scheme=scheme
    ) as page:
      page.wait_for_url('**/admin')
      for path in (
        '',
        '/workers',
        '/models',
        '/invites',
        '/dialogues',
        '/export',
        '/dialogues/1',
        '/workers/1',
      ):
        page.goto(f'{filled.url}/admin{path}')
        faults += [
          (path, *fault) for fault in browser_lib.serious_faults(page, source)
        ]
  assert not faults, faults
