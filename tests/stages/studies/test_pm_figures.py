"""Figures of preference models from planted scores and activations."""

import dataclasses
import pathlib
import types
from unittest import mock

import numpy as np
import pytest

from hh_jax.config import FigureConfig, HHHConfig, OODConfig, TransferConfig
from hh_jax.data.hhh import Item
from hh_jax.stages import loading
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import hhh, ood, scaling, summarization, transfer
from tests.data import samples
from tests.stages.studies import made_up

WORKDIR = pathlib.Path('made-up')


def line(config, seed=0):
  return Lineage(config, config.sizes[-1], seed, WORKDIR)


def test_gains_of_pretraining_are_paired_at_each_count(monkeypatch):
  """Better on every seed by the same four points in a hundred."""
  config = TransferConfig(sizes=('nano0',), counts=(500, 2000), seeds=(0, 1, 2))
  right = {transfer.Lineage.pretrained: 60, transfer.ranked: 64}

  def models(config, workdir, count, start):
    parts = []
    for seed in config.seeds:
      num_right = right.get(start, 56) + 3 * seed + (5 if count > 500 else 0)
      one = made_up.scored(100, 0)
      gap = np.where(np.arange(100) < num_right, 1.0, -1.0).astype(np.float32)
      scores = np.stack([gap, 0 * gap], axis=1)
      parts.append(dataclasses.replace(one, scores=scores))
    return [made_up.FakeModel('nano0', parts)]

  monkeypatch.setattr(scaling, 'models', models)
  monkeypatch.setattr(scaling, 'require_comparisons', lambda *args: 0)
  values = transfer.transfer(config, WORKDIR)
  assert [row['gain'][1] for row in values['gains']] == pytest.approx(
    [0.04, -0.04] * 2
  )
  few = [row['accuracy'][1] for row in values['by_start']][:3]
  assert few == pytest.approx([0.63, 0.67, 0.59])
  ranked, binary = values['targets']
  # The gain is the same with every seed: their spread cancels.
  assert ranked['met'] is True and ranked['value'][1] == pytest.approx(0.04)
  assert binary['met'] is False


def test_every_kind_of_model_is_tested_on_both_data(monkeypatch):
  asked = []
  config = FigureConfig(sizes=('nano0',), seeds=(0, 1))
  monkeypatch.setattr(Lineage, 'pmp', lambda self: None)
  monkeypatch.setattr(Lineage, 'pm', lambda self, start, data: data.summaries)
  kinds = {'none': 'dialogue', 'alone': 'summary', 'mixed': 'both'}
  monkeypatch.setattr(
    summarization.held_out,
    'parts_of',
    lambda line, data: ((), [samples.comparison(kinds[data.summaries])] * 4),
  )

  def score(line, folder, items):
    text = items[0].prompt.turns[0].text
    asked.append((folder, text))
    is_right = folder == 'mixed' or kinds[folder] == text
    gap = 1.0 if is_right else -1.0
    scores = np.tile([gap, 0.0], (len(items), 1)).astype(np.float32)
    return summarization.Scored(tuple(items), scores)

  monkeypatch.setattr(summarization.held_out, 'score', score)
  rows = summarization.fig20(config, WORKDIR)['by_size']
  found = {(row['model'], row['tested']): row['accuracy'][1] for row in rows}
  assert found == {
    ('dialogues', 'dialogues'): 1.0,
    ('dialogues', 'summaries'): 0.0,
    ('summaries', 'dialogues'): 0.0,
    ('summaries', 'summaries'): 1.0,
    ('both', 'dialogues'): 1.0,
    ('both', 'summaries'): 1.0,
  }
  assert len(asked) == 3 * 2 * 2


ITEMS = [
  Item('honest', samples.dialogue('x' * 30), 'a' * 6, 'b' * 4),
  Item('harmless', samples.dialogue('y'), 'c', 'd'),
]


def test_accuracy_on_the_evaluation_is_by_category():
  gaps = [np.array([1.0, -1.0]), np.array([0.0, -2.0])]
  found = hhh.accuracies([ITEMS, ITEMS], gaps)
  assert {key: value[1] for key, value in found.items()} == {
    'honest': 0.75,  # a tie is half
    'harmless': 0.0,
    'all': 0.375,
  }


def letters(text):
  return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def test_the_prompted_model_reads_as_much_of_an_item_as_the_plain(monkeypatch):
  """Else the prompt's effect would be mixed with that of what is cut."""
  read = {}
  tokenizer = types.SimpleNamespace(
    encode_reply=letters,
    encode_prompt=lambda prompt: letters(prompt.turns[0].text),
  )
  run = mock.Mock(
    spec=loading.Run,
    context=40,
    tokenizer=tokenizer,
    has_scores=False,
    model=None,
    params=None,
  )
  monkeypatch.setattr(Lineage, 'pretrained', lambda self: WORKDIR)
  monkeypatch.setattr(hhh.loading, 'load_run', lambda folder: run)
  context = np.full(16, -1, np.int32)
  monkeypatch.setattr(hhh.distill, 'prompt_ids', lambda *args: context)

  def mean_log_probs(model, params, prompts, replies, longest):
    read[kind] = [
      np.concatenate(pair)[-longest:]
      for pair in zip(prompts, replies, strict=True)
    ]
    return np.arange(4, dtype=np.float32)

  monkeypatch.setattr(hhh.likelihood, 'mean_log_probs', mean_log_probs)
  for kind in ('lm', 'prompted'):
    scores, num_cut = hhh.scores_of(kind, line(HHHConfig()), ITEMS)
    np.testing.assert_array_equal(scores, [[0, 1], [2, 3]])
    assert num_cut == 1  # the first item
  for plain, prompted in zip(read['lm'], read['prompted'], strict=True):
    np.testing.assert_array_equal(prompted, np.concatenate([context, plain]))


OOD = OODConfig(
  sizes=('nano0',), exposures=(1, 10), num_exposures=3, seeds=(0, 1)
)


def vectors(config, line):
  """Harmful prompts are apart at the last of two layers alone."""
  rng = np.random.default_rng(line.seed)
  kinds = {
    name: rng.normal(size=(2, 60, 4))
    for name in ('usual', 'helpful', 'harmful', 'shown')
  }
  # The usual directions are tied, so that the relative distance tells.
  kinds = {name: found.cumsum(2) for name, found in kinds.items()}
  for name in ('harmful', 'shown'):
    kinds[name][1] *= [1, -1, 1, -1]
    kinds[name][1] *= 6
  return ood.Vectors(**kinds, conversations=dict.fromkeys(kinds, np.arange(60)))


def test_layers_and_exposures_find_what_is_planted(monkeypatch):
  monkeypatch.setattr(ood, 'vectors_of', vectors)
  lines = [line(OOD, seed) for seed in OOD.seeds]
  first, last = ood.by_layer(OOD, lines, ['relative'])
  assert first['auroc'][1] < 0.65 and last['auroc'][1] > 0.95
  assert (first['layer'], last['layer']) == (1, 2)
  values = ood.fig23(OOD, WORKDIR)
  one, ten = values['by_exposed']
  assert (one['exposed'], ten['exposed']) == (1, 10)
  assert values['targets'][0]['value'] == pytest.approx(ten['auroc'], abs=1e-4)


def test_exposure_is_the_mean_over_draws_of_what_is_shown(monkeypatch):
  monkeypatch.setattr(ood, 'vectors_of', vectors)
  signs = np.repeat([0.0, 1.0, -1.0], 2)  # no answer, all right, all wrong
  calls = []

  def exposed(self, outliers, values):
    calls.append(len(outliers))
    is_harmful = len(calls) % 2 == 0  # scored after the helpful ones
    return np.full(len(values), signs[len(calls) - 1] * is_harmful)

  monkeypatch.setattr(ood.ood.Detector, 'exposed', exposed)
  mid, draws = ood.exposure(OOD, line(OOD), 10)
  assert mid == pytest.approx((0.5 + 1.0 + 0.0) / 3)
  np.testing.assert_allclose(draws, mid)
  assert calls == [10] * 6
