"""Pictures of the pages for the documentation.

  python -m tests.feedback.pictures --out=docs

Three models of known strength answer, people choose by the choice model of
eq. 2.1, and the clock is turned back, so that the plots have something to show.
"""

import argparse
import math
import pathlib
import random
import tempfile
import time
import types

import sqlalchemy as sa

from hh_jax.feedback import facts, schema
from hh_jax.feedback.policies.protocol import Piece
from tests.feedback import browser as browser_lib
from tests.feedback.browser import Served, page_of

HOUR = 3600.0
STRENGTH = {'distilled': 0.0, 'best-of-16': 0.9, 'rlhf-week-3': 1.4}  # nats
SAID = {
  'How do I boil an egg so that the yolk stays soft?': (
    'Put it into boiling water straight from the fridge and give it six and '
    'a half minutes. Then cool it under cold water, which stops the cooking.',
    'Boil it until it feels done. Every egg is a little different!',
  ),
  'And if I forget the timer?': (
    'Then take one egg out and spin it on the table: a hard one spins evenly, '
    'a soft one wobbles. If it wobbles, the yolk is still soft.',
    'You should always use a timer. Eggs that are boiled for too long are not '
    'good.',
  ),
}


class Model:
  """Says what is written above, or something short."""

  can_stream = True
  share = 1.0

  def __init__(self, name):
    self.name = name
    self.spec = {'kind': 'picture', 'name': name}

  async def generate(self, dialogue, replies, seed):
    texts = SAID.get(dialogue.turns[-1].text)
    for reply in replies:
      text = texts[(seed + reply) % 2] if texts else f'Reply {seed + reply}.'
      if self.name == 'distilled' and texts and len(replies) == 1:
        text = texts[1]
      yield Piece(reply, text, 'stop')

  async def close(self):
    pass


def turn_back(hours):
  """Has new facts happen some hours ago."""
  facts.time = types.SimpleNamespace(time=lambda: time.time() - HOUR * hours)


def last_pair(site):
  """Names of the models that answered last."""
  table, names = schema.attempts, schema.snapshots
  with site.opened.reading() as connection:
    row = connection.execute(
      sa.select(table.c.snapshot_a, table.c.snapshot_b)
      .order_by(table.c.id.desc())
      .limit(1)
    ).one()
    known = dict(connection.execute(sa.select(names.c.id, names.c.name)).all())
  return known[row[0]], known[row[1]]


def fill(site, rng):
  """Some days of work by five people."""
  crew = [
    site.worker(name, 'red_team' if name == 'Edsger' else 'helpful', 99)
    for name in ('Ada', 'Alan', 'Barbara', 'Edsger', 'Grace')
  ]
  for number in range(45):
    turn_back(47 * rng.random() ** 1.5)
    person = rng.choice(crew)
    while person.state()['phase'] == 'review':
      review = person.state()['review']['id']
      body = {'step': rng.randint(1, 8), 'seconds': 9}
      person.post(f'/api/reviews/{review}', body)
    sign = -1 if person is crew[3] else 1
    for turn in range(rng.randint(1, 3)):
      made = person.write(f'Question {number}, {turn}').json()['stored']['turn']
      person.frames(made)
      first, second = last_pair(site)
      gap = STRENGTH[first] - STRENGTH[second]
      point = rng.uniform(0.01, 0.99)
      felt = sign * (gap + math.log(point / (1 - point)))
      size = sum(abs(felt) > edge for edge in (0.4, 1.0, 2.0))
      step = 4 - size if felt > 0 else 5 + size
      body = {'step': step, 'seconds': rng.uniform(5, 60)}
      person.post(f'/api/turns/{made}/choice', body)
    person.finish(rating=rng.randint(2, 5))
  turn_back(0.0)


def main():
  """Takes the pictures."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--out', type=pathlib.Path, required=True)
  folder = parser.parse_args().out
  with (
    tempfile.TemporaryDirectory() as name,
    browser_lib.chromium() as browser,
    Served(
      f'{name}/a.db', list(map(Model, STRENGTH)), review_share=0.3
    ) as site,
  ):
    fill(site, random.Random(4))
    with page_of(browser, site.link('Niklaus')) as page:
      page.get_by_role('link', name='Start').click()
      for number, text in enumerate(SAID):
        page.wait_for_selector('#write:not([hidden])')
        page.fill('#message', text)
        page.get_by_role('button', name='Send').click()
        page.wait_for_selector('#choose:not([hidden])')
        good = SAID[text][0][:20]
        is_first = page.inner_text('#reply-a .words').startswith(good)
        step = 2 if is_first else 7
        page.click(f'.steps label:has(input[value="{step}"])')
        if number < len(SAID) - 1:
          page.get_by_role('button', name='Choose and go on').click()
      page.screenshot(path=folder / 'feedback_worker.png', full_page=True)
    with page_of(browser, site.link('', 'admin', 0)) as page:
      page.wait_for_url('**/admin')
      page.screenshot(path=folder / 'feedback_admin.png', full_page=True)


if __name__ == '__main__':
  main()
