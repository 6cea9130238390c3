"""What the HHH prompt is measured on, and the intervals of its effect."""

import dataclasses

import numpy as np
import pytest

from hh_jax.config import DataConfig, DistillConfig
from hh_jax.data.prompts import Prompt
from hh_jax.stages import prompt_effect
from tests.data import samples
from tests.stages import toys

# The rows of distillation also hold the prompt, and are longer.
CONFIG = DistillConfig(data=DataConfig(row_length=512))
RUN = dataclasses.replace(
  toys.as_run(toys.params(), 'pretrain'), config={'data': {'row_length': 128}}
)
ROOM = 128 - 48 - 1


def ask(text):
  return Prompt(samples.dialogue(text), 'helpful')


def test_dialogues_are_cut_to_the_pretraining_row_with_the_prompt(caplog):
  asked = [ask('eggs'), ask('eggs ' * 70)]
  whole = [toys.TOKENIZER.encode_prompt(prompt.dialogue) for prompt in asked]
  assert len(whole[1]) > ROOM
  context = np.arange(50, dtype=np.int32)
  with caplog.at_level('INFO'):
    short, long = prompt_effect.prompt_ids(CONFIG, RUN, asked, context)
  np.testing.assert_array_equal(short, [*context, *whole[0]])
  np.testing.assert_array_equal(long, [*context, *whole[1][50 - ROOM :]])
  assert '1 of 2 prompts cut to 29 tokens' in caplog.text
  alone = prompt_effect.prompt_ids(CONFIG, RUN, asked, None)
  assert [len(ids) for ids in alone] == [len(whole[0]), ROOM]


def test_a_prompt_without_room_for_a_dialogue_is_refused():
  context = np.zeros(ROOM, np.int32)
  with pytest.raises(ValueError, match='row_length=128 leaves no room.* 79 t'):
    prompt_effect.prompt_ids(CONFIG, RUN, [ask('eggs')], context)


def test_gains_resample_conversations_not_prompts():
  before = prompt_effect.Graded(
    sides=np.array(['helpful', 'harmless'] * 20),
    conversations=np.arange(40) // 2 % 2,
    gold=np.zeros(40),
  )
  gold = before.conversations.astype(np.float64)
  found = prompt_effect.gain(dataclasses.replace(before, gold=gold), before)
  assert found == {'helpful': [0, 0.5, 1], 'harmless': [0, 0.5, 1]}


def test_a_side_that_was_not_asked_has_no_gain():
  one = prompt_effect.Graded(np.array(['helpful']), np.zeros(1), np.ones(1))
  assert prompt_effect.gain(one, one) == {'helpful': [0, 0, 0]}
