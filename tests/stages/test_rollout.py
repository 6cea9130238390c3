import jax
import numpy as np

from hh_jax.evals import scoring
from hh_jax.models import ladder, readout
from hh_jax.stages import rollout
from tests.stages import rollouts, toys

EOT, EOC = toys.TOKENIZER.eot, toys.TOKENIZER.eoc
PROMPTS = [toys.ids(5, 6, 7), toys.ids(8, 9), toys.ids(10, 11, 12, 13)]
REPLIES = [
  toys.ids(20, 21, 22, EOT),  # ended by itself
  toys.ids(30, 31, 32, 33, 34),  # cut off
  toys.ids(EOT),  # nothing but the end
]


def pack(examples=(0, 1, 2), batch_size=4):
  replies = rollouts.made(PROMPTS, REPLIES)
  batch = rollout.pack_replies(
    replies, examples, toys.TOKENIZER, rollouts.ROW, batch_size
  )
  return replies, batch


def flat(array):
  return np.asarray(array).reshape(-1)


def test_reply_index_points_to_the_sampled_tokens():
  replies, batch = pack((2, 0, 1))
  tokens = flat(batch.packed.tokens)
  index = np.asarray(batch.reply_index)
  for slot, example in enumerate((2, 0, 1)):
    count = replies.num_tokens[example]
    np.testing.assert_array_equal(tokens[index[slot, :count]], REPLIES[example])
    assert (index[slot, count:] == -1).all()
  assert (index[3] == -1).all()
  np.testing.assert_array_equal(batch.example, [2, 0, 1, 0])
  np.testing.assert_array_equal(
    batch.packed.pair_mask, [True, True, True, False]
  )


def test_end_of_text_and_end_of_context_are_siblings():
  _, batch = pack()
  tokens, parent = flat(batch.packed.tokens), flat(batch.packed.parent)
  score = np.asarray(batch.packed.score_index)[:3, 0]
  np.testing.assert_array_equal(tokens[score], EOC)
  first = np.asarray(batch.reply_index)[0]
  assert parent[first[3]] == parent[score[0]] == first[2] % rollouts.ROW
  enter, leave = flat(batch.packed.enter), flat(batch.packed.leave)
  sees = (enter[first[3]] <= enter[score[0]]) & (
    enter[score[0]] < leave[first[3]]
  )
  assert not sees, 'end-of-context sees end-of-text'


def test_a_reply_cut_off_is_scored_after_its_last_token():
  _, batch = pack()
  parent = flat(batch.packed.parent)
  last = np.asarray(batch.reply_index)[1, 4]
  score = np.asarray(batch.packed.score_index)[1, 0]
  assert parent[score] == last % rollouts.ROW


def test_an_empty_reply_is_scored_after_its_prompt():
  _, batch = pack()
  parent, tokens = flat(batch.packed.parent), flat(batch.packed.tokens)
  score = np.asarray(batch.packed.score_index)[2, 0]
  row = score // rollouts.ROW * rollouts.ROW
  assert tokens[row + parent[score]] == 13


def test_only_sampled_tokens_are_targets():
  replies, batch = pack()
  assert int(batch.packed.loss_mask.sum()) == replies.num_tokens.sum()
  index = np.asarray(batch.reply_index)
  assert flat(batch.packed.loss_mask)[index[index >= 0]].all()


def test_scores_are_those_of_the_text_alone():
  replies, batch = pack()
  found = scoring.packed_scores(toys.MODEL, toys.pm_params(), batch.packed)
  expected = [
    toys.plain_score(prompt, replies.content(e), toys.pm_params())
    for e, prompt in enumerate(PROMPTS)
  ]
  np.testing.assert_allclose(
    np.asarray(found)[:3, 0], expected, rtol=1e-5, atol=1e-5
  )
  assert np.ptp(expected) > 0.05


def test_log_probs_equal_a_plain_forward_of_prompt_and_reply():
  replies, batch = pack()

  @jax.jit
  def read(params, batch):
    hidden = ladder.forward(toys.MODEL, params, batch.packed).hidden
    return readout.reply_log_probs(
      toys.MODEL, params, hidden, batch.packed, batch.reply_index, 0.7
    )

  log_probs, entropy = read(toys.params(), batch)
  for e, (prompt, reply) in enumerate(zip(PROMPTS, REPLIES, strict=True)):
    whole = np.concatenate([prompt, reply])
    plain = toys.plain_log_probs(whole, toys.params(), 0.7)
    plain = plain[len(prompt) - 1 : -1]
    count = len(reply)
    np.testing.assert_allclose(
      log_probs[e, :count], plain[np.arange(count), reply], atol=1e-5
    )
    np.testing.assert_allclose(
      entropy[e, :count], -(np.exp(plain) * plain).sum(-1), atol=1e-5
    )


def test_content_has_no_end_of_text():
  replies, _ = pack()
  np.testing.assert_array_equal(replies.content(0), [20, 21, 22])
  np.testing.assert_array_equal(replies.content(1), REPLIES[1])
  assert replies.content(2).size == 0
  np.testing.assert_array_equal(replies.mask.sum(1), [4, 5, 1])
