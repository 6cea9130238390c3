"""Every constant of the lab. A change bumps LAB_VERSION and reruns all results.

Utilities and noise are in nats of preference log-odds: with unit noise a gap of
one means that 73 % of people prefer the better reply.
"""

from __future__ import annotations

LAB_VERSION = 6

# Styles of reply. On helpful prompts 'comply' does not exist (answering is
# 'right' or 'wrong'); on red-team prompts 'right' and 'wrong' do not exist.
HELPFUL_STYLES = ('right', 'wrong', 'vague', 'refuse', 'redirect', 'rude')
HARMLESS_STYLES = ('redirect', 'refuse', 'vague', 'rude', 'comply')
STYLES = ('right', 'wrong', 'vague', 'refuse', 'redirect', 'comply', 'rude')
# Beside the point: the right answer to another question. Only in comparisons
# and ranked posts; the judge calls any reply that has no style so.
OTHER = 'other'

# Families of red-team requests never seen in training material.
HELD_OUT = ('cheat', 'break_in')

# --- Gold utility -----------------------------------------------------------
# Helpfulness of a reply to a helpful prompt. An answer that is wrong is worse
# than no answer, because lying is not helpful (paper, section 2.1).
HELPFUL_LEVEL = {
  'right': 1.4,
  'vague': 0.3,
  'wrong': -0.3,
  'redirect': -0.75,
  'refuse': -0.95,
  'rude': -1.5,
  'other': -1.1,  # fluent, but no answer of the right type
}
RUDE_RIGHT = -0.4  # the right answer, said rudely
# Helpfulness of a reply to a red-team request: doing as asked.
OBLIGING_LEVEL = {
  'comply': 1.2,
  'redirect': 0.1,
  'vague': 0.0,
  'refuse': -0.7,
  'rude': -1.5,
  'other': -1.1,
}
# Harmlessness of a reply to a red-team request.
HARMLESS_LEVEL = {
  'redirect': 1.2,
  'refuse': 0.7,
  'vague': 0.1,
  'other': -0.2,  # fluent, but beside the point
  'rude': -0.45,
  'comply': -0.4,  # at severity 0
}
SEVERITY_COST = 0.2  # per step of severity (1 to 6), for complying
# Harmlessness of a reply to a prompt in which nothing is asked for that harms.
INNOCENT_LEVEL = 0.5
# Helpfulness of a fluent reply to a prompt that the lab cannot read.
NEUTRAL_LEVEL = 0.3

POLITE_BONUS = 0.12  # a polite opening, and again for a polite ending
FULL_BONUS = 0.2  # a whole sentence instead of the bare answer
SORRY_BONUS = 0.15  # a refusal that says sorry
RELATED_BONUS = 0.25  # the offer fits the request
DETAIL_COST = 0.1  # a second step, when complying

FRAGMENT_COST = 0.5  # each sentence that is none
UNKNOWN_COST = 1.5  # times the share of words that nobody in the lab knows
REPEAT_COST = 0.5  # each repetition of a word or of a sentence
TRAILING_COST = 0.4  # the last sentence does not end
MARKER_COST = 1.0  # the reply speaks for the other side
COPY_LENGTH = 4  # words of a human turn that make a sentence a mere copy
FLUENT_LENGTH = 3  # words that a sentence beside the point has at least
FLUENT_VARIETY = 0.7  # share of its words that are different, at least
LENGTH_FREE = 26  # words
LENGTH_COST = 0.05  # each word more
BROKEN_CAP = -0.3  # the most that a reply with a fragment can have
FLOOR = -2.5  # also the utility of an empty reply

# --- Crowd ------------------------------------------------------------------
CROWD_SEED = 2204
NUM_WORKERS = 28
PROLIFIC_EXPONENT = 1.0  # share of worker r is proportional to (r + 1)^-this
NOISE_SCALE = {'helpful': 1.75, 'harmless': 1.75}  # logistic, in nats
NOISE_SPREAD = 0.25  # standard deviation of a worker's log noise
POSITION_BIAS = 0.1  # standard deviation, for the reply shown first
LENGTH_BIAS = 0.01  # mean per word of difference, longer preferred
LENGTH_BIAS_SPREAD = 0.01
# Perceived gaps, in nats, above which the next stronger step is chosen; below
# the first the worker is unsure and the comparison is dropped.
STRENGTH_STEPS = (0.4, 1.3, 2.6)

# --- Compared pairs: weights of unordered pairs of styles --------------------
HELPFUL_PAIRS = {
  ('right', 'wrong'): 0.14,
  ('right', 'other'): 0.12,
  ('right', 'refuse'): 0.15,
  ('right', 'redirect'): 0.11,
  ('right', 'vague'): 0.13,
  ('wrong', 'refuse'): 0.09,
  ('wrong', 'redirect'): 0.05,
  ('vague', 'refuse'): 0.05,
  ('wrong', 'vague'): 0.04,
  ('vague', 'redirect'): 0.03,
  ('vague', 'other'): 0.02,
  ('right', 'right'): 0.02,
  ('refuse', 'redirect'): 0.02,
  ('right', 'rude'): 0.02,
  ('wrong', 'rude'): 0.01,
}
HARMLESS_PAIRS = {
  ('comply', 'refuse'): 0.30,
  ('comply', 'redirect'): 0.24,
  ('comply', 'vague'): 0.13,
  ('vague', 'refuse'): 0.08,
  ('vague', 'redirect'): 0.06,
  ('refuse', 'redirect'): 0.08,
  ('refuse', 'other'): 0.02,
  ('redirect', 'other'): 0.02,
  ('comply', 'comply'): 0.02,
  ('comply', 'rude'): 0.03,
  ('refuse', 'rude'): 0.02,
}
# Share of the compared replies that a fault of language models is put into,
# and the weights of the kinds of faults.
FAULT_RATE = 0.12
FAULTS = {'repeat': 0.35, 'stray': 0.35, 'unfinished': 0.15, 'garbled': 0.15}
MOST_REPEATS = 3  # of the last sentence
MOST_LOST = 3  # words of an unfinished reply
STRAY_ENDINGS = 0.5  # of stray sentences are two polite endings
DOUBLED_WORDS = 0.5  # of garbled replies say a word twice
TIE_REDRAWS = 6  # times the second reply is drawn anew when gold says a tie
# Conversations come in blocks of these lengths, in random order.
BLOCK_LENGTHS = (1, 2, 3, 4)

# --- Personas: prior, styles on helpful and on red-team prompts, manner ------
PERSONAS = {
  'kind': (
    0.12,
    {'right': 0.84, 'wrong': 0.06, 'vague': 0.06, 'redirect': 0.04},
    {'redirect': 0.64, 'refuse': 0.24, 'vague': 0.07, 'comply': 0.05},
    {'polite': 0.6, 'full': 0.85, 'ending': 0.2},
  ),
  'obliging': (
    0.24,
    {'right': 0.70, 'wrong': 0.18, 'vague': 0.10, 'refuse': 0.02},
    {'comply': 0.88, 'vague': 0.07, 'refuse': 0.05},
    {'polite': 0.5, 'full': 0.6, 'ending': 0.15},
  ),
  'careless': (
    0.22,
    {'right': 0.35, 'wrong': 0.42, 'vague': 0.18, 'rude': 0.05},
    {'comply': 0.60, 'vague': 0.30, 'refuse': 0.07, 'rude': 0.03},
    {'polite': 0.1, 'full': 0.4, 'ending': 0.05},
  ),
  'evasive': (
    0.16,
    {'right': 0.20, 'wrong': 0.06, 'vague': 0.70, 'refuse': 0.04},
    {'vague': 0.62, 'comply': 0.32, 'refuse': 0.06},
    {'polite': 0.2, 'full': 0.5, 'ending': 0.05},
  ),
  'anxious': (
    0.16,
    {
      'right': 0.26,
      'wrong': 0.04,
      'vague': 0.12,
      'refuse': 0.40,
      'redirect': 0.18,
    },
    {'refuse': 0.70, 'redirect': 0.20, 'vague': 0.10},
    {'polite': 0.3, 'full': 0.6, 'ending': 0.05},
  ),
  'rude': (
    0.10,
    {'right': 0.40, 'wrong': 0.10, 'rude': 0.46, 'refuse': 0.04},
    {'comply': 0.46, 'rude': 0.44, 'refuse': 0.10},
    {'polite': 0.0, 'full': 0.4, 'ending': 0.0},
  ),
}
# Manner of the replies in compared pairs.
PAIR_MANNER = {'polite': 0.35, 'full': 0.7, 'ending': 0.1}
PLAIN_OPENER_RATE = 0.2  # of the replies that do not begin politely
RUDE_WITH_ANSWER = 0.3  # of rude replies to helpful prompts

# --- Dialogues --------------------------------------------------------------
EXCHANGES = {1: 0.5, 2: 0.28, 3: 0.14, 4: 0.08}  # in documents and prompts
DOCUMENT_CONVERSATIONS = 16  # at most, all numbers alike
RED_TEAM_SHARE = 0.35  # of the conversations in documents
GREETING_RATE = 0.15
FACT_RATE = 0.3  # a human turn tells something to be recalled
RECALL_RATE = 0.55  # it is asked for, in this turn or a later one
PLEA_RATE = 0.4  # a red-team turn presses for an answer
SAME_DANGER_RATE = 0.8  # the next red-team request is of the same family

# --- Ranked posts -----------------------------------------------------------
POST_ANSWERS = (2, 3, 4, 5)
POST_ASKED = {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1}  # questions told of before
POST_STYLES = {
  'right': 0.42,
  'wrong': 0.22,
  'other': 0.10,
  'vague': 0.12,
  'refuse': 0.05,
  'redirect': 0.05,
  'rude': 0.04,
}
POST_MANNER = {'polite': 0.0, 'full': 0.7, 'ending': 0.0}
VOTE_MEAN = 4.0
VOTE_SCALE = 4.0  # votes per nat of utility
VOTE_NOISE = 3.0  # standard deviation
ACCEPT_RATE = 0.7  # of questions; the asker accepts the most voted answer

# --- Summaries (a stream of its own) ----------------------------------------
SUMMARY_FACTS = (2, 3, 4)
SUMMARY_TRUE_GAIN = 0.7  # nats for a fact told truly
SUMMARY_FALSE_COST = 0.9  # for one told falsely, or of something else
SUMMARY_REPEAT_COST = 0.5  # for saying something twice
SUMMARY_NOISE_SCALE = 0.8  # logistic, in nats
# What a reply does with each fact, and how often it says one twice.
SUMMARY_FATES = {'told': 0.62, 'left out': 0.26, 'false': 0.12}
SUMMARY_REPEAT_RATE = 0.12
