"""Prompts by a language model: what is kept, what is left out and counted."""

import collections
import dataclasses
import json

import pytest

from hh_jax.config import DataConfig, PromptsConfig, RLHFConfig, SamplingConfig
from hh_jax.data import comparisons, jsonl, sieve
from hh_jax.data.dialogue import Dialogue
from hh_jax.stages import generated_prompts, prompt_pool, worlds
from tests.stages import rollouts, toys

CONFIG = PromptsConfig(
  init_from='writer',
  data=DataConfig(batch_size=4, row_length=256, test_fraction=0.3),
  sampling=SamplingConfig(max_new_tokens=12, slots=4),
  num_prompts=6,
  tries=4,
  shots=2,
  num_queries=12,
  prompts_per_context=2,
)


def sample(text, ended=True):
  return {'text': text, 'ended': ended}


def unheld(*texts):
  """Those of some texts that no split of the config holds out."""
  return [
    text
    for text in texts
    if comparisons.place_of(text) >= CONFIG.data.test_fraction
  ]


@pytest.fixture
def written(monkeypatch):
  """Lets the model write what a test says, a list of samples a round."""

  def write(*rounds):
    monkeypatch.setattr(
      generated_prompts.Rounds,
      '_sample',
      lambda self, number, queries: rounds[number % len(rounds)],
    )

  toys.stand_in(monkeypatch, writer=toys.as_run(toys.params(), 'pretrain'))
  return write


def test_every_reason_to_leave_a_sample_out():
  human = 'How do I boil an egg?'
  seen = sieve.Sieve(CONFIG.near_duplicate, [human])
  good = unheld(*(f'Why is {x} so very blue today?' for x in 'abcdefgh'))[0]
  held = next(
    text
    for text in (f'Why {n}?' for n in range(99))
    if comparisons.place_of(text) < CONFIG.data.test_fraction
  )
  spelled = unheld(*(f'Why {n}? Human: no' for n in range(9)))[0]

  def verdict(text, ended=True):
    known = {sieve.plain(human)}
    return generated_prompts.judge(
      CONFIG, sample(text, ended), 'helpful', seen, known
    )

  assert verdict(good) == generated_prompts.KEPT
  seen.add(good)
  assert verdict(good) == 'repeated'
  assert verdict('') == 'empty'
  assert verdict(good, ended=False) == 'unfinished'
  assert verdict(spelled) == 'spells a turn marker'
  assert verdict(held) == 'held out'
  copies = unheld(*(human + ' ' * n for n in (1,)), human.lower())
  assert copies and {verdict(text) for text in copies} == {'copied'}
  (near,) = unheld(f'{good} Or')[:1] or unheld(f'{good} And')[:1]
  assert verdict(near) == 'near-duplicate'
  (attack, *_) = unheld(
    *(
      item.dialogue.first_human
      for item in worlds.prompts(CONFIG.data, 1, 9, 1.0, is_held_out=False)
    )
  )
  assert verdict(attack) == 'of the other side'
  assert worlds.side_of(CONFIG.data, Dialogue.alternating(attack)) == 'harmless'


def test_enough_are_kept_and_the_rest_is_counted(written, tmp_path):
  good = unheld(*(f'Is {x} above {x}{x} in rank?' for x in 'abcdefghijklmnop'))
  written(
    [sample(good[0]), sample(good[0]), sample('')],
    [sample(good[1]), sample(good[2]), sample(good[3]), sample(good[4])],
  )
  line = generated_prompts.run(CONFIG, tmp_path)
  done = json.loads((tmp_path / 'DONE').read_text())
  counts = {'asked_for': 3, 'sampled': 5, 'empty': 1, 'kept': 3, 'repeated': 1}
  assert done['counts'] == {'helpful': counts, 'harmless': counts}
  assert done['num_prompts'] == 6
  assert 'prompts: 6 of 6 asked for' in line and '1 repeated' in line
  prompts = generated_prompts.read(tmp_path)
  assert [item.dialogue.first_human for item in prompts] == good[:3] * 2
  assert collections.Counter(item.side for item in prompts) == {
    'helpful': 3,
    'harmless': 3,
  }
  rows = [
    row for _, row in jsonl.read_rows(tmp_path / 'samples/left_out.jsonl')
  ]
  assert [row['verdict'] for row in rows] == ['repeated', 'empty'] * 2
  digest = jsonl.sha256_of(tmp_path / generated_prompts.FILE)
  assert done['state_sha256'] == digest


def test_a_model_that_writes_nothing_is_named_with_counts(written, tmp_path):
  written([sample(''), sample('Why', ended=False)])
  said = 'none of 12 sampled helpful prompts can be kept .*empty.: 6.*writer'
  with pytest.raises(ValueError, match=said):
    generated_prompts.run(CONFIG, tmp_path)


def test_a_model_that_repeats_itself_gives_up_and_says_so(written, tmp_path):
  good = unheld(*(f'Is {x} above {x}{x} in rank?' for x in 'abcdefgh'))
  written([sample(good[0])])
  line = generated_prompts.run(CONFIG, tmp_path)
  assert 'prompts: 2 of 6 asked for' in line and '11 repeated' in line


def test_too_few_short_queries_are_said_before_anything_is_sampled(
  written, tmp_path
):
  written()
  with pytest.raises(ValueError, match='shots=13; raise num_queries=12'):
    generated_prompts.run(dataclasses.replace(CONFIG, shots=13), tmp_path)


@pytest.mark.slow
def test_a_run_that_was_stopped_gives_what_a_whole_one_gives(
  tmp_path, monkeypatch
):
  """Rounds that are there are read, and others sampled, to the same texts."""
  writer = toys.as_run(rollouts.eager_to_end(), 'pretrain')
  whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
  rounds = [
    generated_prompts.Rounds(CONFIG, writer, 'helpful', folder)
    for folder in (whole, resumed)
  ]
  queries = generated_prompts.human_queries(CONFIG, 'helpful')
  first = [rounds[0].of(number, queries) for number in range(3)]
  assert first[0] != first[1]
  assert all(len(own) == CONFIG.data.batch_size for own in first)
  rounds[1].of(0, queries)
  sampled = []
  plain = generated_prompts.Rounds._sample
  monkeypatch.setattr(
    generated_prompts.Rounds,
    '_sample',
    lambda self, *args: sampled.append(args[0]) or plain(self, *args),
  )
  assert [rounds[1].of(number, queries) for number in range(3)] == first
  assert sampled == [1, 2]


def test_a_context_is_queries_with_breaks_and_an_open_turn():
  ids = generated_prompts.context_of(toys.TOKENIZER, ['Why?', 'How so?'])
  text = toys.TOKENIZER.decode(ids)
  assert text == (
    '\n\nHuman: Why?\n\n-----\n\nHuman: How so?\n\n-----\n\nHuman:'
  )


# --- The pool that RLHF trains on ---------------------------------------------


@pytest.fixture
def generated(written, tmp_path):
  """Folder of a finished run with ten prompts, half of either side."""
  good = unheld(*(f'Is {x} above {x}{x} in rank?' for x in 'abcdefghijklmnop'))
  written([sample(text) for text in good])
  config = dataclasses.replace(CONFIG, num_prompts=10)
  generated_prompts.run(config, tmp_path / 'prompts')
  return tmp_path / 'prompts'


def pool_of(**changes):
  config = RLHFConfig(
    data=DataConfig(row_length=64, test_fraction=0.3),
    sampling=rollouts.SAMPLING,
    num_prompts=8,
    **changes,
  )
  return config, *prompt_pool.training(config, toys.TOKENIZER)


def test_generated_prompts_are_a_share_of_the_pool(generated):
  _, plain, _ = pool_of()
  config, pool, counts = pool_of(
    prompts_from=str(generated), generated_fraction=0.5, harmless_fraction=0.25
  )
  assert counts['generated'] == 4 and counts['pool'] == 8 == len(pool)
  assert len(set(pool.example_ids.tolist())) == 8
  own = worlds.prompts(config.data, 0, 4, 0.25, is_held_out=False)
  texts = [toys.TOKENIZER.decode(ids) for ids in pool.prompts]
  written = [
    item.dialogue.first_human for item in generated_prompts.read(generated)
  ]
  assert sum(any(text in whole for text in written) for whole in texts) == 4
  harmless = sum(item.side == 'harmless' for item in own) + 1
  assert counts['harmless'] == harmless
  assert {tuple(ids) for ids in pool.prompts[:4]} != {
    tuple(ids) for ids in plain.prompts[:4]
  }


def test_prompts_that_are_missing_or_cut_are_counted(generated):
  _, pool, counts = pool_of(
    prompts_from=str(generated), generated_fraction=1.0, harmless_fraction=0.0
  )
  assert counts == {
    'asked_for': 8,
    'pool': 5,
    'harmless': 0,
    'generated': 5,
    'cut': 0,
  }
  long = dataclasses.replace(pool_of()[0], num_prompts=40)
  room = long.data.row_length - long.sampling.max_new_tokens - 1
  pool, counts = prompt_pool.training(long, toys.TOKENIZER)
  assert counts['cut'] == sum(len(ids) == room for ids in pool.prompts) > 0


def test_an_empty_pool_is_named(generated):
  file = generated / generated_prompts.FILE
  rows = file.read_text().splitlines()
  file.write_text('\n'.join(row for row in rows if 'harmless' in row))
  with pytest.raises(ValueError, match='the prompt pool is empty'):
    pool_of(
      prompts_from=str(generated), generated_fraction=1.0, harmless_fraction=0.0
    )


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'prompts_per_context': 3}, 'prompts_per_context=3 does not divide'),
    ({'near_duplicate': 1.5}, 'near_duplicate=1.5 is outside'),
    ({'near_duplicate': 0.0}, 'near_duplicate=0.0 must be positive'),
    ({'harmless_fraction': -0.1}, 'harmless_fraction=-0.1 is outside'),
    ({'shots': 0}, 'shots=0 must be positive'),
  ],
)
def test_what_a_config_of_prompts_refuses(fields, said):
  with pytest.raises(ValueError, match=said):
    dataclasses.replace(CONFIG, **fields)


@pytest.mark.parametrize(
  'fields', [{'generated_fraction': 0.5}, {'prompts_from': 'runs/prompts'}]
)
def test_a_share_and_a_run_go_together(fields):
  with pytest.raises(ValueError, match='set both or none'):
    RLHFConfig(**fields)


def test_a_policy_is_bound_to_the_prompts_it_was_trained_on(generated):
  config = RLHFConfig(prompts_from=str(generated), generated_fraction=0.5)
  (digest,) = generated_prompts.sources(config).values()
  assert digest == jsonl.sha256_of(generated / generated_prompts.FILE)
  assert generated_prompts.sources(RLHFConfig()) == {}
