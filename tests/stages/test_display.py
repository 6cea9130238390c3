"""Replies to the same prompts along training: medians of 17 by PM score."""

import dataclasses
import json

import numpy as np
import pytest

from hh_jax.config import DataConfig, RLHFConfig
from hh_jax.generation import best_of_k
from hh_jax.stages import display, policy_points
from tests.stages import rollouts, toys

CONFIG = RLHFConfig(
  data=DataConfig(batch_size=4, row_length=128, test_fraction=0.3),
  sampling=rollouts.SAMPLING,
  num_iterations=5,
  eval_prompts=6,
  show_every=2,
  show_prompts=2,
)


@pytest.fixture
def shown(tmp_path):
  pm = toys.as_run(toys.pm_params(), 'pm')
  reference = toys.as_run(toys.params(), 'distill')
  points = policy_points.prepare(CONFIG, reference, {'train_pm': pm}, tmp_path)
  return display.prepare(
    CONFIG, reference, pm, points.prompts, points.pool, tmp_path
  )


@pytest.mark.slow
def test_the_median_of_seventeen_by_the_preference_model(shown, monkeypatch):
  seen = []
  medians = best_of_k.medians
  monkeypatch.setattr(
    best_of_k, 'medians', lambda *args: seen.append(args) or medians(*args)
  )
  shown.at(rollouts.eager_to_end(), 2)
  ((replies, scores),) = seen
  assert [len(own) for own in replies] == [17, 17]
  written = json.loads((shown.folder / '00000002.json').read_text())
  for i, row in enumerate(written):
    filled = [s for s, t in zip(scores[i], replies[i]) if t.strip()]
    assert row['score'] == pytest.approx(
      np.sort(filled)[(len(filled) - 1) // 2]
    )
    place = replies[i].index(row['text'])
    assert row['score'] == pytest.approx(scores[i][place], abs=1e-5)
  first = (shown.folder / '00000002.json').read_bytes()
  shown.at(rollouts.eager_to_end(), 2)
  assert (shown.folder / '00000002.json').read_bytes() == first


def test_texts_are_kept_now_and_then_and_at_both_ends(shown, monkeypatch):
  calls = []

  def medians(self, params, step):
    calls.append(step)
    return [{'text': f'{step}', 'score': 0.5 * step}] * 2

  monkeypatch.setattr(display.Display, '_medians', medians)
  shown.start({})
  for step in range(1, 6):
    shown.at({}, step)
  assert calls == [0, 2, 4, 5]
  shown.start({})  # once is enough
  assert calls == [0, 2, 4, 5]
  first, second = shown.collect(4)  # of a longer run the rest is left out
  sides = [prompt.side for prompt in shown.prompts]
  assert [first['side'], second['side']] == sides
  assert first['prompt'][-1]['role'] == 'human'
  assert first['replies'] == [
    {'step': step, 'text': f'{step}', 'score': 0.5 * step} for step in (0, 2, 4)
  ]


def test_both_ends_of_the_prompts_are_taken(shown):
  config = dataclasses.replace(CONFIG, show_prompts=99)
  every = policy_points.held_out_prompts(CONFIG)
  assert shown.prompts == (every[0], every[-1])
  whole = display.prepare(
    config,
    shown.reference,
    shown.pm,
    every,
    policy_points.prepare(CONFIG, shown.reference, {}, shown.folder).pool,
    shown.folder,
  )
  assert whole.prompts == every
