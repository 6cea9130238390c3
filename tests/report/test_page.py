"""The page of a made-up run: complete, self-contained, escaped, and honest
about what is missing.
"""

import csv
import json
import re
from html import parser

import pytest

from hh_jax.report import page
from hh_jax.training import workdir as workdir_lib
from tests.report import fake_run

_VOID = {'meta', 'br', 'img', 'link', 'input', 'hr'}


class _Checker(parser.HTMLParser):
  """Collects ids and links and requires every tag to be closed."""

  def __init__(self):
    super().__init__()
    self.ids, self.links, self.open_tags, self.tags = [], [], [], []

  def handle_starttag(self, tag, attrs):
    values = dict(attrs)
    self.tags.append(tag)
    if 'id' in values:
      self.ids.append(values['id'])
    self.links += [
      values[k] for k in ('href', 'src', 'xlink:href') if k in values
    ]
    if tag not in _VOID:
      self.open_tags.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in _VOID:
      self.open_tags.pop()

  def handle_endtag(self, tag):
    assert self.open_tags.pop() == tag


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = fake_run.write(tmp_path_factory.mktemp('run'), stages=('pm',))
  assert page.write(folder) == folder / 'report.html'
  return folder


@pytest.fixture(scope='module')
def text(workdir):
  return (workdir / 'report.html').read_text(encoding='utf-8')


def _check(text):
  checker = _Checker()
  checker.feed(text)
  assert not checker.open_tags
  return checker


def test_page_is_whole_and_needs_nothing_else(text):
  checker = _check(text)
  assert 'script' not in checker.tags
  assert len(checker.ids) == len(set(checker.ids))
  assert checker.links
  for link in checker.links:
    assert link.startswith('#'), link
    assert link[1:] in checker.ids, link
  assert not re.search(r'@import|url\((?!#)', text)
  for reference in re.findall(r'url\(#([^)]+)\)', text):
    assert reference in checker.ids


def test_every_section_is_there(text):
  for key in (
    'findings',
    'training',
    'curves',
    'accuracy',
    'calibration',
    'frontier',
    'course',
    'shown',
    'elo',
    'tension',
    'samples',
    'targets',
    'reproducibility',
  ):
    assert f'<section id="{key}">' in text, key
  assert 'id="missing"' not in text


def test_header_and_tables_show_the_numbers(text):
  assert '--workdir=runs/nano' in text
  assert '29 min 3 s' in text
  assert '11,871' in text
  assert 'rejected: unequal prompts' in text
  assert '0.684 [0.663, 0.705]' in text
  assert '0.371 [0.349, 0.393]<span class="unseen"> (below chance)' in text
  assert '<td class="">pm.optimizer.lr_multiple</td>' in text


def test_text_of_models_is_escaped(text):
  assert '<script>' not in text
  assert '&lt;script&gt;alert(1)&lt;/script&gt;' in text
  assert '<b>two' not in text
  assert 'empty reply' in text


def test_ten_samples_with_all_their_turns(text):
  own = text[text.index('<section id="samples">') :]
  assert own.count('<article class="sample">') == 10
  assert 'And now the other way round?' in text


def test_the_same_prompts_stand_with_their_replies_along_training(text):
  own = text[text.index('<section id="shown">') :]
  own = own[: own.index('</section>')]
  assert own.count('<article class="sample">') == 3
  assert 'Question 2 &lt;i&gt;now&lt;/i&gt;?' in own
  for step in (0, 50, 100):
    assert f'iteration {step}<span class="score">PM' in own
    assert f'Reply 2 at {step}.' in own
  assert own.count('<em>empty reply</em>') == 1
  assert 'the mean goes from -0.300 to 0.700.' in own


# What a report of RLHF has to show, and the picture that shows it.
SHOWN = {
  'reward and held-out PM against √KL': 'frontier_pm',
  'gold against √KL': 'frontier_gold',
  'KL as trained and k3': 'rlhf_kl',
  'entropy': 'rlhf_entropy',
  'response length': 'rlhf_length',
  'EOS rate, repetition, refusals': 'rlhf_replies',
  'clip fraction': 'rlhf_clip_fraction',
  'first-minibatch ratio': 'rlhf_first_ratio',
  'value explained variance': 'rlhf_value_explained',
  'PM score of the same prompts': 'rlhf_shown',
}
SERIES = {
  'rlhf_kl': {'rollout/kl_k1', 'rollout/kl_k3'},
  'rlhf_replies': {
    'eot_rate',
    'repetition',
    'refusal_rate_helpful',
    'refusal_rate_harmless',
  },
}


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """Workdir of RLHF alone, as its stage leaves it."""
  folder = tmp_path_factory.mktemp('alone')
  full = fake_run.results()
  kept = ('frontier', 'shown', 'prompts', 'end')
  done = {name: full[name] for name in kept}
  done |= {'line': 'rlhf: done', 'seconds': 9.0, 'state_sha256': 'f' * 64}
  workdir_lib.write_done(folder, {**done, 'steps': 60, 'alarms': []})
  workdir_lib.write_jsonl(folder / 'metrics.jsonl', fake_run.rlhf_metrics())
  workdir_lib.write_json(
    folder / 'run.json',
    {'fingerprint': {'stage': 'rlhf'}, 'versions': {'jax': '0.10.2'}},
  )
  workdir_lib.write_json(folder / 'config.json', {'kl_coef': 0.001})
  page.write(folder, 'python -m experiments.rlhf')
  return folder


@pytest.mark.parametrize('what', SHOWN)
def test_a_report_of_rlhf_alone_shows(alone, what):
  name = SHOWN[what]
  content = json.loads((alone / 'figures' / f'{name}.json').read_text())
  assert len(content['rows']) >= 3
  assert SERIES.get(name, set()) <= set(content['rows'][0])


def test_a_report_of_rlhf_alone_says_what_it_sees(alone):
  text = (alone / 'report.html').read_text(encoding='utf-8')
  _check(text)
  assert 'part at √KL 4.05; stop there' in text
  assert 'Refusal of helpful requests rises from' in text
  assert 'The first-minibatch ratio stays within' in text
  assert 'python -m experiments.rlhf' in text
  assert 'ffffffff' in text and '>kl_coef<' in text
  assert 'id="missing"' not in text


def test_a_run_that_is_not_finished_has_no_page(alone, tmp_path):
  (tmp_path / 'run.json').write_bytes((alone / 'run.json').read_bytes())
  with pytest.raises(ValueError, match='is not finished'):
    page.write(tmp_path)


def test_figures_follow_the_theme_and_have_words(text):
  assert text.count('<figure>') == text.count('role="img" aria-label="')
  assert 'aria-label="Accuracy on held-out comparisons.' in text
  assert 'var(--series-0)' in text
  assert '#0072b2' not in text[text.index('<figure>') :]
  assert 'prefers-color-scheme: dark' in text


def test_figure_files_hold_their_numbers(workdir):
  folder = workdir / 'figures'
  assert (folder / 'overview.png').read_bytes().startswith(b'\x89PNG')
  assert (folder / 'overview.svg').read_text().startswith('<?xml')
  with (folder / 'elo.csv').open() as lines:
    rows = list(csv.DictReader(lines))
  rlhf = next(
    row for row in rows if (row['side'], row['policy']) == ('overall', 'rlhf')
  )
  assert [float(rlhf[k]) for k in ('elo_low', 'elo', 'elo_high')] == [
    205,
    236,
    267,
  ]
  content = json.loads((folder / 'frontier_pm.json').read_text())
  assert len(content['rows']) == 13
  assert content['rows'][0]['train_pm'] == 0


def test_the_same_results_give_the_same_page(workdir, text):
  page.write(workdir)
  assert (workdir / 'report.html').read_text(encoding='utf-8') == text


def test_missing_numbers_leave_sections_out(tmp_path):
  full = fake_run.results()
  kept = {k: full[k] for k in ('world', 'pm_accuracy', 'stages')}
  path = page.write(fake_run.write(tmp_path, kept, stages=()))
  text = path.read_text(encoding='utf-8')
  _check(text)
  assert '<section id="accuracy">' in text
  assert '<section id="elo">' not in text
  missing = text[text.index('id="missing"') :]
  for title in ('Learning curves', 'Calibration', 'Elo', 'Targets'):
    assert title in missing
  assert 'needs samples' in missing


def test_metrics_alone_make_a_page(tmp_path):
  fake_run.write(tmp_path, {}, stages=('pm',))
  (tmp_path / 'results.json').unlink()
  with (tmp_path / 'pm' / 'metrics.jsonl').open('a') as lines:
    lines.write('{"step": 300, "pm/loss": "nan"}\n{"step": 301, "pm/lo')
  text = page.write(tmp_path).read_text(encoding='utf-8')
  assert 'pm: accuracy' in text
  assert '<section id="accuracy">' not in text


@pytest.mark.parametrize(
  'values',
  [
    {'pm_accuracy': {'helpful': [0.5, 0.6]}, 'elo': [], 'frontier': {}},
    {'calibration': {'mixture': {'gap': [1], 'accuracy': None}}, 'gold': 3},
    {'frontier': [{'kl': -0.01, 'train_pm': 0.1}, {'kl': 4, 'train_pm': 1}]},
    {'samples': [{'after': '', 'prompt': None}], 'thresholds': [{}]},
    {'pm_accuracy': {'helpful': None, '$a_b$': 0.7}, 'seconds': None},
    {'pm_gain': {'helpful': {'pi0': 1.0}, 'harmless': {'pi0': 0.5}}},
  ],
)
def test_odd_values_do_not_break_the_page(tmp_path, values):
  fake_run.write(tmp_path, {'world': 'lab', **values}, stages=())
  _check(page.write(tmp_path).read_text(encoding='utf-8'))


def test_a_folder_without_results_is_refused(tmp_path, capsys):
  with pytest.raises(ValueError, match='holds neither'):
    page.write(tmp_path)
  assert page.main([f'--workdir={tmp_path / "nowhere"}']) == 2
  assert 'is no folder' in capsys.readouterr().err
  (tmp_path / 'results.json').write_text('{"a": ')
  with pytest.raises(ValueError, match='no JSON'):
    page.write(tmp_path)
