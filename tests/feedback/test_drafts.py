"""What a worker typed is neither lost nor sent twice; in a real browser."""

import pytest

from tests.feedback.browser import (
  becoming_stale,
  begin,
  choose,
  page_of,
  shown,
  until,
  without_pauses,
  write,
)

pytestmark = pytest.mark.slow


def test_a_stale_page_loses_nothing_that_was_typed(browser, site):
  with page_of(browser, site.link()) as page:
    begin(page)
    write(page, 'Hello?')
    choose(page, 1)
    page.get_by_role('button', name='Finish this conversation').click()
    page.fill('#comment', 'Quite fine.')
    page.get_by_role('button', name='Back').first.click()
    write(page, 'And then?')
    page.click('.steps label:has(input[value="2"])')
    page.click('#edit-box summary')
    page.fill('#edit', 'In my own words.')
    with becoming_stale(page):
      page.get_by_role('button', name='Choose and go on').click()
    page.wait_for_selector('#choose:not([hidden])')
    assert page.input_value('#edit') == 'In my own words.'
    assert page.is_checked('input[value="2"]')
    page.get_by_role('button', name='Choose and go on').click()
    page.wait_for_selector('#write:not([hidden])')
    page.get_by_role('button', name='Finish this conversation').click()
    assert page.input_value('#comment') == 'Quite fine.'
  assert [row['text'] for row in site.rows('edits')] == ['In my own words.']


def test_a_message_that_was_stored_unseen_is_no_draft(browser, site):
  with page_of(browser, site.link()) as page:
    begin(page)

    def lose(route):
      route.fetch()  # the server gets it, and the page no answer
      route.abort()

    page.route('**/api/turns', lose)
    without_pauses(page)
    page.fill('#message', 'Did you get this?')
    page.get_by_role('button', name='Send').click()
    until(page, "!document.body.hasAttribute('aria-busy')")
    assert page.input_value('#message') == 'Did you get this?'
    page.reload()
    page.wait_for_selector('#choose:not([hidden])')
    choose(page, 1)
    assert page.input_value('#message') == ''
  assert site.count('turns') == 1


def test_a_report_that_was_stored_unseen_is_stored_once(browser, site):
  with page_of(browser, site.link()) as page:
    begin(page)
    write(page, 'Hello?')

    def lose(route):
      route.fetch()
      route.abort()

    page.route('**/report', lose)
    without_pauses(page)
    for _ in range(2):
      page.locator('#reply-a .report').click()
      page.fill('#report-reason', 'Rude.')
      page.get_by_role('button', name='Report', exact=True).click()
      until(page, "!document.body.hasAttribute('aria-busy')")
      page.unroute('**/report')
    shown(page, 'the reply is reported', '#news')
  assert site.count('reports') == 1
