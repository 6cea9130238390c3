"""A figure's files, and the page of all figures."""

import json
import pathlib
import re

import pytest

from hh_jax.report import (
  bias_figures,
  hhh_figures,
  lines,
  ood_figures,
  paper_figures,
  preference_figures,
  publish,
  robustness_figures,
  style,
)

CURVE = [
  {'size': size, 'params': params, 'samples': n, 'side': side, 'accuracy': a}
  for size, params in (('nano0', 1e5), ('nano1', 3e5))
  for side in ('helpful', 'all')
  for n, a in ((10, [0.4, 0.5, 0.6]), (100, [0.6, 0.7, 0.8]))
]
VALUES = {
  'curves': CURVE,
  'by_size': [row for row in CURVE if row['samples'] == 100],
  'bayes': {'helpful': [0.7, 0.75, 0.8]},
}


def figure(name='fig07', title='Figure 7: <accuracy>'):
  return publish.Figure(
    name, title, 'How to read it.', lambda *_: VALUES, paper_figures.fig07
  )


def test_numbers_pictures_and_page_are_written(tmp_path):
  page = publish.write(tmp_path, figure(), VALUES, 'python -m made.up')
  folder = tmp_path / 'figures' / 'fig07'
  names = {path.name for path in folder.iterdir()}
  for picture in ('fig07_curves', 'fig07_sizes'):
    assert {
      f'{picture}.{end}' for end in ('svg', 'png', 'csv', 'json')
    } <= names
  saved = json.loads((folder / 'values.json').read_text())
  assert saved == json.loads(json.dumps(VALUES))
  text = page.read_text()
  assert 'Figure 7: &lt;accuracy&gt;' in text
  assert 'python -m made.up' in text
  assert text.count('<svg') == 2
  assert '0.700' in text  # in a table
  assert 'paper, helpful' in text


def test_prompts_with_replies_are_samples_and_no_table(tmp_path):
  values = {
    'num_wrong': 1,
    'samples': [
      {
        'side': 'honest',
        'prompt': [{'role': 'human', 'text': 'Is <tea> hot?'}],
        'better': 'Yes.',
        'worse': 'No.',
        'score_better': -1.5,
        'score_worse': 0.25,
      }
    ],
  }
  worst = publish.Figure(
    'fig11', 'Worst', 'Read.', lambda *_: values, hhh_figures.fig11
  )
  text = publish.write(tmp_path, worst, values, 'none').read_text()
  for part in ('honest', 'Is &lt;tea&gt; hot?', 'Yes.', 'No.', 'PM -1.50'):
    assert part in text, part
  assert 'worse, yet preferred' in text
  assert '<table' not in text.split('id="fig11"')[1]


def test_the_page_keeps_other_figures(tmp_path):
  publish.write(tmp_path, figure(), VALUES, 'one')
  before = (tmp_path / 'report.html').read_text()
  publish.write(tmp_path, figure('fig31', 'Figure 31'), VALUES, 'two')
  text = (tmp_path / 'report.html').read_text()
  assert text.index('id="fig07"') < text.index('id="fig31"')
  assert len(text) > len(before)


def test_writing_twice_gives_the_same_bytes(tmp_path):
  def content():
    publish.write(tmp_path, figure(), VALUES, 'one')
    return {
      path: path.read_bytes()
      for path in sorted(tmp_path.rglob('*'))
      if path.suffix in ('.html', '.svg', '.csv', '.json')
    }

  assert content() == content()


MODULES = (
  paper_figures,
  ood_figures,
  hhh_figures,
  bias_figures,
  robustness_figures,
  preference_figures,
)


@pytest.mark.parametrize(
  'draw',
  [
    value
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith(('fig', 'pmp')) and callable(value)
  ],
)
def test_no_numbers_make_an_empty_section(draw, tmp_path):
  empty = publish.Figure('fig', 'Figure', 'None.', lambda *_: {}, draw)
  page = publish.write(pathlib.Path(tmp_path), empty, {}, 'none')
  assert 'id="fig"' in page.read_text()


def test_every_name_of_a_legend_is_inside_the_picture():
  rows = [
    {'size': f'size {i}', 'x': x, 'accuracy': [0.4, 0.5, 0.6]}
    for i in range(6)
    for x in (1, 2)
  ]
  panel = lines.Lines('many', 'Many', rows, 'x', lines.by('size'), 'x')
  figure = style.figure_of([panel.picture()])
  figure.canvas.draw()
  box = figure.axes[0].get_legend().get_window_extent()
  assert box.y1 <= figure.bbox.y1 + 1


def test_where_train_and_test_pm_part_is_marked():
  curves = [
    {
      'size': size,
      'pm': 'nano1',
      'judge': judge,
      'samples': 10 * x,
      'sqrt_kl': [x, x, x],
      'gain': [x - 1, x, x + 1],
      'score': [x - 2, x - 1, x],
    }
    for size in ('nano0', 'nano1')
    for judge in ('train PM', 'test PM', 'gold')
    for x in (0.0, 1.0, 2.0)
  ]
  parting = [
    {'size': 'nano1', 'pm': 'nano0', 'stop_at_sqrt_kl': 0.5},
    {
      'size': 'nano1',
      'pm': 'nano1',
      'part': True,
      'stop_at_sqrt_kl': 1.25,
      'best_test_at_sqrt_kl': 1.75,
    },
  ]
  values = {'curves': curves, 'parting': parting}
  said = robustness_figures.say_fig04(
    {
      'parting': [
        {'set': 'largest PM', 'share_at_stop': [0.9, 0.97, 1.0], **parting[1]},
        {'set': 'largest PM', 'size': 'nano0', 'pm': 'nano1'},
      ]
    }
  )
  assert 'train and test PM part at √KL 1.25; stop there' in said
  assert '97.0\N{NO-BREAK SPACE}% [90.0, 100.0]' in said
  assert 'Policy nano0: train and test PM are not shown to part.' in said
  first, *others = robustness_figures.fig04(values)
  assert 'PMs part: stop at 1.25, best by test PM at 1.75' in first.alt
  drawn = style.figure_of([first]).axes[0].lines
  assert {1.25, 1.75} <= {line.get_xdata()[0] for line in drawn}
  assert len(first.rows) == 9  # the largest policy, all three judges
  assert not any('Marked' in picture.alt for picture in others)


def test_rlhf_is_a_band_over_the_ladder_of_k():
  ladder = [
    {'policy': f'best_of_{k}', 'k': k, 'elo': [k, k, k], 'elo_by_pm': [k, k, k]}
    for k in (1, 4)
  ]
  ladder.append({'policy': 'rlhf', 'k': None, 'elo': [20.0, 30.0, 40.0]})
  games = [{'judge': 'test PM'}]
  (picture,) = preference_figures.fig36({'ladder': ladder, 'games': games})
  lines = style.figure_of([picture]).axes[0].lines
  assert [30.0, 30.0] in [list(line.get_ydata()) for line in lines]
  assert [row['by'] for row in picture.rows] == ['test PM'] * 2 + [
    'PM score'
  ] * 2


def test_elo_says_who_judged():
  pictures = preference_figures.fig01({'games': [{'judge': 'test PM'}]})
  assert {p.y_label for p in pictures} == {
    'Elo above the largest π0, by test PM'
  }


@pytest.mark.parametrize(
  'cure, said',
  [
    (('90%, 100%', 0.5), 'At 90%, 100% harmless .*; at 50% by less than 5%'),
    (('0%', None), 'no lower share is shown to cure it'),
    ((None, None), 'No policy is shown to refuse'),
  ],
)
def test_over_refusal_in_words(cure, said):
  found = dict(zip(('over_refuses_at', 'cured_at'), cure), tolerated=0.05)
  assert re.search(said, preference_figures.say_fig14({'cure': found}))
