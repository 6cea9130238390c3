"""Games, Elo, agreement and counts from choices; and the plots of them."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from hh_jax.feedback import drawings, measures
from hh_jax.feedback.measures import Choice
from tests.feedback.site import running

NAMES = {1: 'one', 2: 'two', 3: 'three <b>'}


def choice(number, snapshots, step, task='helpful', worker=1, at=0.0):
  return Choice(number, number, worker, task, snapshots, step, 5.0, at)


def test_who_wins():
  assert choice(1, (1, 2), 1).winner == 0
  assert choice(1, (1, 2), 8).winner == 1
  assert choice(1, (1, 2), 1, 'red_team').winner == 1
  assert choice(1, (1, 2), 4).is_weak


def test_a_league_leaves_out_what_is_no_game():
  found = [
    choice(1, (1, 2), 1),
    choice(2, (2, 1), 7),
    choice(3, (1, 2), 8),
    choice(4, (1, 2), 4),  # weak
    choice(5, (2, 2), 1),  # against itself
    choice(6, (1, 3), 1, 'red_team'),
  ]
  league = measures.league(found, 'helpful', NAMES)
  assert league.names == ('one', 'two')
  assert league.num_games == 3
  np.testing.assert_array_equal(league.wins, [[0, 2], [1, 0]])
  # Two wins of three games: 400 log10 2.
  np.testing.assert_allclose(
    league.ratings[:, 1], [0.0, -400 * np.log10(2)], atol=0.5
  )
  assert measures.league(found[3:5], 'helpful', NAMES) is None
  red = measures.league(found, 'red_team', NAMES)
  assert red.names == ('one', 'three <b>')
  np.testing.assert_array_equal(red.wins, [[0, 0], [1, 0]])


def test_hours_steps_and_workers():
  now = 1000 * measures.HOUR + 60
  found = [
    choice(1, (1, 2), 1, at=now),
    choice(2, (1, 2), 4, at=now - 10),
    choice(3, (1, 2), 8, 'red_team', worker=2, at=now - 2 * measures.HOUR),
    choice(4, (1, 2), 8, at=now - 9 * measures.HOUR),
  ]
  hours = measures.per_hour(found, 3, now)
  assert hours == {'helpful': [0, 0, 2], 'red_team': [1, 0, 0]}
  assert measures.steps(found, 'helpful') == [1, 0, 0, 1, 0, 0, 0, 1]
  rows = measures.by_worker(found)
  assert rows[1].num_choices == 3
  assert rows[1].weak_share == pytest.approx(1 / 3)
  assert rows[1].first_share == pytest.approx(2 / 3)
  assert rows[2].last_at == now - 2 * measures.HOUR


def test_choices_and_agreement_of_a_real_database(db):
  with running(db, review_share=1.0) as site:
    ada, bob = site.worker('Ada', number=9), site.worker('Bob', number=9)
    ada.exchange('First.', step=2)
    ada.exchange('Second.', step=7)
    ada.finish()
    for _ in range(2):
      bob.exchange('Mine.', step=3)
      bob.finish()
      review = bob.state()['review']
      row = site.rows('reviews')[-1]
      # Bob agrees about the side and takes the strongest step.
      first = {r['turn_id']: r['step'] for r in site.rows('choices')}
      side = first[row['turn_id']] > 4
      step = 8 if side != row['is_swapped'] else 1
      body = {'step': step, 'seconds': 1}
      assert bob.post(f'/api/reviews/{review["id"]}', body).status_code == 200
    with site.opened.reading() as connection:
      found = measures.choices(connection)
      agreement = measures.agreement_of(connection, found)
      counts = measures.counts(connection, found)
  assert [c.step for c in found] == [2, 7, 3, 3]
  assert agreement.num_items == 2
  assert agreement.same_side[1] == 1.0
  assert agreement.alpha_side == pytest.approx(1.0)
  assert 0 < agreement.alpha_step <= 1
  assert (counts.comparisons, counts.kept, counts.finished) == (4, 4, 3)
  assert counts.active == 2


def parse(svg):
  return ET.fromstring(str(svg))


def test_plots_say_what_they_show():
  bars = parse(
    drawings.bars({'a': [1, 2], 'b': [3, 0]}, ['x', 'y'], 'Bars: a & b')
  )
  assert bars.attrib['aria-label'] == 'Bars: a & b'
  rects = list(bars.iter('rect'))
  heights = [float(e.attrib['height']) for e in rects]
  assert len(rects) == 3
  assert heights[1] == pytest.approx(3 * heights[0], rel=0.01)
  assert heights[2] == pytest.approx(2 * heights[0], rel=0.01)


def test_intervals_are_drawn_to_scale_and_escaped():
  values = np.array([[-50.0, 0.0, 50.0], [50.0, 100.0, 200.0]])
  svg = drawings.intervals(['one', '<i>two</i>'], values, 'Elo', 'one')
  assert '<i>' not in str(svg)
  circles = [float(e.attrib['cx']) for e in parse(svg).iter('circle')]
  lines = [
    (float(e.attrib['x1']), float(e.attrib['x2']))
    for e in parse(svg).iter('line')
    if e.attrib['class'] == 'bar'
  ]
  unit = (circles[1] - circles[0]) / 100
  assert lines[1][1] - lines[1][0] == pytest.approx(150 * unit, abs=0.1)


def test_win_rates_are_shares():
  wins = np.array([[0, 3, 0], [1, 0, 0], [0, 0, 0]])
  svg = drawings.win_rates(list(NAMES.values()), wins, 'Wins')
  shares = [
    e.text for e in parse(svg).iter('text') if 'share' in e.attrib['class']
  ]
  assert shares == ['75%', '25%']
  assert 'three &lt;b&gt;' in str(svg)


@pytest.mark.parametrize(
  ('low', 'high'), [(0, 1), (0, 7), (-130, 260), (0, 64000), (-1e-3, 2e-3)]
)
def test_ticks_are_round_and_span(low, high):
  ticks = drawings.nice_ticks(low, high)
  assert ticks[0] <= low and ticks[-1] >= high
  assert 2 <= len(ticks) <= 8
  counted = drawings.nice_ticks(low, high, smallest=1)
  assert all(tick == int(tick) for tick in counted)
  np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_what_was_reported_skipped_or_refused_is_neither_measured_nor_shown(
  tmp_path,
):
  with running(str(tmp_path / 'a.db'), review_share=1.0) as site:
    ada, bob = site.worker('Ada', number=9), site.worker('Bob', number=9)
    reported = ada.exchange('Reported.')
    body = {'slot': 'a', 'reason': 'Rude.'}
    assert ada.post(f'/api/turns/{reported}/report', body).status_code == 200
    ada.finish()
    ada.exchange('Skipped.')
    ada.finish(kind='skipped', comment='Enough.')
    ada.exchange('Refused.')
    refused = ada.state()['conversation']['id']
    ada.finish()
    admin = site.admin()
    path = f'/admin/dialogues/{refused}/check'
    assert admin.form(path, verdict='refused').status_code == 303
    own = bob.exchange('Used.')
    with site.opened.reading() as connection:
      found = measures.choices(connection)
      totals = measures.counts(connection, found)
    assert [choice.turn_id for choice in found] == [own]
    assert (totals.comparisons, totals.kept) == (4, 1)
    bob.finish()
    assert bob.state()['phase'] == 'write'  # there is nothing to look at
    assert admin.form(path, verdict='good').status_code == 303
    bob.exchange('One more.')
    bob.finish()
    assert bob.state()['review']['text'] == 'Refused.'
