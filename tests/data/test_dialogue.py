"""Dialogue parser: round trips, roles, and the cut before the last reply."""

import hypothesis
import pytest
from hypothesis import strategies as st

from hh_jax.data import dialogue as dialogue_lib
from tests.data import samples

_TEXT = st.text(max_size=20).filter(
  lambda text: 'Human:' not in text and 'Assistant:' not in text
)
_TURN = st.builds(
  dialogue_lib.Turn, st.sampled_from(['human', 'assistant']), _TEXT
)
_DIALOGUE = st.builds(
  dialogue_lib.Dialogue, st.lists(_TURN, min_size=1, max_size=6).map(tuple)
)


def test_conversations_are_those_of_the_first_human_turn():
  dialogues = [
    samples.dialogue('b'),
    samples.dialogue('a'),
    samples.dialogue('b', 'Yes.', 'Why?'),
    dialogue_lib.Dialogue(()),
  ]
  ids = dialogue_lib.conversation_ids(dialogues)
  assert ids[0] == ids[2]
  assert sorted(set(ids)) == [0, 1, 2]
  keys = dialogue_lib.conversation_keys(dialogues)
  assert keys[0] == keys[2] and len(set(keys)) == 3
  # The same whatever else there is.
  assert dialogue_lib.conversation_keys(dialogues[1:2]) == keys[1]


@hypothesis.given(_DIALOGUE)
def test_parse_inverts_format(dialogue):
  text = dialogue_lib.format_transcript(dialogue)
  assert dialogue_lib.parse_transcript(text) == dialogue


@hypothesis.given(st.lists(_DIALOGUE, min_size=1, max_size=3))
def test_document_of_several_conversations(dialogues):
  dialogues = [
    dialogue_lib.Dialogue(
      (dialogue_lib.Turn('human', 'first'), *dialogue.turns)
    )
    for dialogue in dialogues
  ]
  end = dialogue_lib.Turn('break', '')
  turns = [turn for item in dialogues for turn in (*item.turns, end)][:-1]
  document = dialogue_lib.Dialogue(tuple(turns))
  text = dialogue_lib.format_transcript(document)
  assert dialogue_lib.parse_document(text) == document
  assert text.count('\n\n-----\n\nHuman:') == len(dialogues) - 1


@hypothesis.given(st.text(), st.text())
def test_prompt_and_reply_are_the_transcript(before, after):
  text = before + '\n\nAssistant:' + after
  prompt, reply = dialogue_lib.split_final_reply(text)
  assert prompt + reply == text
  assert prompt.endswith('\n\nAssistant:')
  assert '\n\nAssistant:' not in reply


def test_rule_is_not_a_break_inside_a_turn():
  text = '\n\nHuman: see\n\n-----\n\nbelow\n\nAssistant: Yes.'
  parsed = dialogue_lib.parse_document(text)
  assert [turn.role for turn in parsed.turns] == ['human', 'assistant']
  assert parsed.turns[0].text == 'see\n\n-----\n\nbelow'


def test_texts_are_verbatim_but_for_one_space():
  parsed = dialogue_lib.parse_transcript('\n\nHuman:  a \n\nAssistant:b')
  assert [turn.text for turn in parsed.turns] == [' a ', 'b']


def test_alternates():
  assert dialogue_lib.alternates(samples.dialogue('a', 'b', 'c'))
  twice = dialogue_lib.Turn('human', 'a')
  assert not dialogue_lib.alternates(dialogue_lib.Dialogue((twice, twice)))
  assistant_first = dialogue_lib.Turn('assistant', 'a')
  assert not dialogue_lib.alternates(dialogue_lib.Dialogue((assistant_first,)))


def test_errors_say_what_is_wrong():
  with pytest.raises(ValueError, match="starts with 'Hello'"):
    dialogue_lib.parse_transcript('Hello')
  with pytest.raises(ValueError, match='no .*Assistant:'):
    dialogue_lib.split_final_reply('\n\nHuman: hi')
  with pytest.raises(ValueError, match="role='system'"):
    dialogue_lib.Turn('system', 'hi')
