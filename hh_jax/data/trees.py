"""Token trees: the one shape in which every example reaches a network.

1. A segment is a run of tokens that continues its parent segment; segments
   are listed in an order in which parents come before children.
2. A comparison is a prompt with two replies; k samples of a prompt, a prompt
   with k; a document, one segment. End-of-context is a one-token child of the
   reply it scores, so nothing after the reply sees it.
3. A path that is too long loses its left end, or its example is left out.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import tokenizer as tokenizer_lib

ROOT = -1


@dataclasses.dataclass(frozen=True)
class Segment:
  """Tokens that follow those of the parent segment."""

  tokens: np.ndarray  # [N] int32, may be empty
  parent: int  # index in the tree's segments, -1 at a root
  is_target: bool  # its tokens count in a language-model loss


@dataclasses.dataclass(frozen=True)
class Tree:
  """Segments of one example.

  Scores are read at the last token of each segment in `scored`; every run of
  `num_candidates` of them (an argument of packing) is one item.
  """

  segments: tuple[Segment, ...]
  scored: tuple[int, ...]
  weight: float  # of the loss of its items
  example_id: int

  def __post_init__(self):
    for index, segment in enumerate(self.segments):
      if not ROOT <= segment.parent < index:
        raise ValueError(
          f'segment {index} has parent {segment.parent}; parents come first'
        )
    for index in self.scored:
      if not 0 <= index < len(self.segments):
        raise ValueError(
          f'scored segment {index} is none of {len(self.segments)}'
        )

  @property
  def num_tokens(self) -> int:
    return sum(len(segment.tokens) for segment in self.segments)

  @property
  def longest_path(self) -> int:
    """Most tokens from a root to a leaf."""
    return max(path_ends(self), default=0)


def path_ends(tree: Tree) -> list[int]:
  """Tokens from the root up to the end of each segment."""
  ends: list[int] = []
  for segment in tree.segments:
    before = ends[segment.parent] if segment.parent >= 0 else 0
    ends.append(before + len(segment.tokens))
  return ends


def path_of(tree: Tree, segment: int) -> list[int]:
  """Segments from the root to a segment, both included."""
  path = []
  while segment >= 0:
    path.append(segment)
    segment = tree.segments[segment].parent
  return path[::-1]


def _one(token: int) -> np.ndarray:
  return np.asarray([token], np.int32)


def document_tree(ids: np.ndarray, example_id: int = 0) -> Tree:
  """A document or a piece of one; all but its first token are targets."""
  return Tree((Segment(ids, ROOT, True),), (), 1.0, example_id)


def best_of_k_tree(
  prompt_ids: np.ndarray,
  replies: Sequence[np.ndarray],
  eoc: int = tokenizer_lib.EOC_ID,
  example_id: int = 0,
) -> Tree:
  """One prompt and k replies to score; segment 1 + 2j is reply j.

  Args:
    prompt_ids: Ids up to an open assistant turn, [N].
    replies: Ids of each reply without end-of-text, [N] each.
    eoc: Id of end-of-context, on which scores are read.
    example_id: Global id of the prompt.
  """
  segments = [Segment(prompt_ids, ROOT, False)]
  for reply in replies:
    segments.append(Segment(reply, 0, False))
    segments.append(Segment(_one(eoc), len(segments) - 1, False))
  scored = tuple(range(2, len(segments), 2))
  return Tree(tuple(segments), scored, 1.0, example_id)


def rollout_tree(
  prompt_ids: np.ndarray,
  reply_ids: np.ndarray,
  eoc: int = tokenizer_lib.EOC_ID,
  eot: int = tokenizer_lib.EOT_ID,
  example_id: int = 0,
) -> Tree:
  """A prompt and one sampled reply, all of whose tokens are targets.

  If the reply ends with end-of-text, that token and end-of-context are two
  children of the text before it: the policy learns to stop, and the
  preference model reads the text alone. Either way the sampled tokens lie
  side by side from the start of segment 1.
  """
  is_ended = len(reply_ids) > 0 and int(reply_ids[-1]) == eot
  text = reply_ids[:-1] if is_ended else reply_ids
  segments = [Segment(prompt_ids, ROOT, False), Segment(text, 0, True)]
  if is_ended:
    segments.append(Segment(reply_ids[-1:], 1, True))
  segments.append(Segment(_one(eoc), 1, False))
  return Tree(tuple(segments), (len(segments) - 1,), 1.0, example_id)


def comparison_tree(
  tokenizer: tokenizer_lib.Tokenizer,
  comparison: comparisons_lib.Comparison,
  example_id: int = 0,
) -> Tree:
  """Prompt (segment 0), chosen (1) and rejected (3), each with its end (2, 4).

  The chosen reply is a language-model target, for the loss on the good
  sequence that Askell et al. 2021 add.
  """
  tree = best_of_k_tree(
    tokenizer.encode_prompt(comparison.prompt),
    [
      tokenizer.encode_reply(comparison.chosen),
      tokenizer.encode_reply(comparison.rejected),
    ],
    tokenizer.eoc,
    example_id,
  )
  chosen = dataclasses.replace(tree.segments[1], is_target=True)
  segments = (tree.segments[0], chosen, *tree.segments[2:])
  return Tree(segments, tree.scored, comparison.weight, example_id)


class _Trie:
  """Segments under construction, equal children of a parent merged."""

  def __init__(self):
    self.segments: list[Segment] = []
    self._children: dict[tuple[int, bytes], int] = {}

  def add(self, parent: int, tokens: np.ndarray, is_target: bool) -> int:
    key = (parent, tokens.tobytes())
    if key not in self._children:
      self._children[key] = len(self.segments)
      self.segments.append(Segment(tokens, parent, is_target))
    index = self._children[key]
    if is_target and not self.segments[index].is_target:
      self.segments[index] = Segment(tokens, parent, True)
    return index


def conversation_tree(
  tokenizer: tokenizer_lib.Tokenizer,
  comparisons: Sequence[comparisons_lib.Comparison],
  example_id: int = 0,
) -> Tree:
  """Comparisons of one conversation, every shared prefix once.

  The scored segments are (chosen, rejected) of each comparison in turn; a
  reply that a later prompt continues is shared with that prompt.
  """
  weights = {pair.weight for pair in comparisons}
  if len(weights) != 1:
    raise ValueError(
      f'{len(comparisons)} comparisons of one tree have weights '
      f'{sorted(weights)}; a tree has one weight'
    )
  trie = _Trie()
  scored = []
  for pair in comparisons:
    node = ROOT
    for turn in pair.prompt.turns:
      marker = tokenizer.encode_turn_marker(turn.role)
      node = trie.add(node, marker, False)
      if turn.role != dialogue_lib.BREAK:
        node = trie.add(node, tokenizer.encode_reply(turn.text), False)
      if turn.role == dialogue_lib.ASSISTANT:
        node = trie.add(node, _one(tokenizer.eot), False)
    opened = tokenizer.encode_turn_marker(dialogue_lib.ASSISTANT)
    node = trie.add(node, opened, False)
    for text, is_target in ((pair.chosen, True), (pair.rejected, False)):
      reply = trie.add(node, tokenizer.encode_reply(text), is_target)
      scored.append(trie.add(reply, _one(tokenizer.eoc), False))
  return Tree(tuple(trie.segments), tuple(scored), weights.pop(), example_id)


def conversation_trees(
  tokenizer: tokenizer_lib.Tokenizer,
  comparisons: Sequence[comparisons_lib.Comparison],
  max_path: int,
) -> list[Tree]:
  """One tree for all comparisons with the same first human turn and weight.

  A comparison with a path above `max_path` has its own tree, so that
  truncating it takes nothing from the others. Example ids are the index of a
  tree's first comparison.
  """
  groups: dict[tuple[object, ...], list[int]] = collections.defaultdict(list)
  for index, pair in enumerate(comparisons):
    alone = comparison_tree(tokenizer, pair)
    is_long = alone.longest_path > max_path
    key = (pair.prompt.first_human, pair.weight, index if is_long else -1)
    groups[key].append(index)
  return [
    conversation_tree(
      tokenizer, [comparisons[index] for index in members], members[0]
    )
    for members in groups.values()
  ]


def truncate_left(tree: Tree, max_path: int) -> Tree:
  """Drops tokens at the left of the tree until every path fits.

  All branches lose the same tokens of the prefix they share, so that replies
  are still compared in one context; only where that is not enough does a
  branch lose tokens of its own.
  """
  segments = list(tree.segments)
  children: dict[int, list[int]] = collections.defaultdict(list)
  for index, segment in enumerate(segments):
    children[segment.parent].append(index)
  heights = [0] * len(segments)
  for index in reversed(range(len(segments))):
    below = max((heights[child] for child in children[index]), default=0)
    heights[index] = len(segments[index].tokens) + below
  waiting = list(children[ROOT])
  while waiting:
    index = waiting.pop()
    excess = heights[index] - max_path
    if excess <= 0:
      continue
    segment = segments[index]
    cut = min(excess, len(segment.tokens))
    segments[index] = dataclasses.replace(segment, tokens=segment.tokens[cut:])
    if cut < excess:
      waiting.extend(children[index])
  return dataclasses.replace(tree, segments=tuple(segments))


def fit_paths(
  trees: Sequence[Tree], max_path: int, long_paths: str
) -> tuple[list[Tree], dict[str, int]]:
  """Makes every path fit in `max_path` tokens.

  Args:
    trees: Any trees.
    max_path: Most tokens from a root to a leaf.
    long_paths: 'truncate' drops the left end, 'reject' the whole tree.

  Returns:
    The trees that fit, order kept, and counts: `truncated`, `rejected`,
    `tokens_dropped`.
  """
  if long_paths not in ('truncate', 'reject') or max_path < 2:
    raise ValueError(
      f'long_paths={long_paths!r}, max_path={max_path}: give truncate or '
      'reject, and at least 2 tokens'
    )
  fitting = []
  counts = {'truncated': 0, 'rejected': 0, 'tokens_dropped': 0}
  for tree in trees:
    if tree.longest_path <= max_path:
      fitting.append(tree)
    elif long_paths == 'reject':
      counts['rejected'] += 1
      counts['tokens_dropped'] += tree.num_tokens
    else:
      shorter = truncate_left(tree, max_path)
      counts['truncated'] += 1
      counts['tokens_dropped'] += tree.num_tokens - shorter.num_tokens
      fitting.append(shorter)
  return fitting, counts
