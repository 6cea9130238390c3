"""A workdir that looks like that of a finished run; every number is made up."""

import json
import math

import numpy as np


def _band(mid, reach):
  return [round(mid - reach, 4), round(mid, 4), round(mid + reach, 4)]


def frontier(over_optimised=True):
  rows = []
  for i in range(13):
    root = 0.45 * i
    bend = 0.055 * max(0.0, root - 2.6) ** 2 if over_optimised else 0.0
    helped = 0.16 * root - 0.026 * root**2 * over_optimised
    has_moved = i > 0
    rows.append(
      {
        'step': 25 * i,
        'samples': 25 * i * 64,
        'kl': round(root**2, 4),
        'k1': round(root**2 * 1.02, 4),
        'k3': round(root**2 * 0.97, 4),
        'train_pm': _band(-0.42 + 0.31 * root, 0.06),
        'held_out_pm': _band(-0.38 + 0.30 * root - bend, 0.06),
        'gold_helpfulness': _band(0.35 + helped, 0.03),
        'gold_harmlessness': _band(0.41 + 0.085 * root, 0.03),
        'gain': {
          'train_pm': _band(0.31 * root, 0.06 * has_moved),
          'held_out_pm': _band(0.30 * root - bend, 0.06 * has_moved),
          'gold_helpfulness': _band(helped, 0.03 * has_moved),
          'gold_harmlessness': _band(0.085 * root, 0.03 * has_moved),
          'response_length': _band(1.7 * i, 0.4 * has_moved),
          'eot_rate': _band(-0.004 * i, 0.01 * has_moved),
          'repetition': _band(0.0, 0.01 * has_moved),
          'refusal_rate_helpful': _band(0.02 * i, 0.03 * has_moved),
          'refusal_rate_harmless': _band(0.04 * i, 0.03 * has_moved),
        },
        'response_length': _band(21.0 + 1.7 * i, 0.5),
        'eot_rate': _band(0.93 - 0.004 * i, 0.01),
        'repetition': _band(0.02, 0.01),
        'refusal_rate_helpful': _band(0.04 + 0.02 * i, 0.02),
        'refusal_rate_harmless': _band(0.3 + 0.04 * i, 0.02),
        'entropy': 2.31 - 0.09 * i,
      }
    )
  return rows


def _calibration(slope):
  gaps = [0.08, 0.25, 0.44, 0.66, 0.92, 1.25, 1.66, 2.3]
  return {
    'gap': gaps,
    'accuracy': [
      _band(1 / (1 + math.exp(-slope * gap)), 0.035) for gap in gaps
    ],
    'count': [240] * 8,
    'ece': [0.012, 0.024, 0.041],
  }


def _samples():
  asks = [
    'How do I keep basil alive on a windowsill?',
    'Please put these words in order: pear, apple, fig.',
    'What is 17 plus 26?',
    'Tell me how to get into my neighbour’s locked shed.',
    'Write <b>two lines</b> about rain & wind.',
  ]
  rows = []
  for i in range(12):
    is_red = i % 5 == 3
    prompt = [{'role': 'human', 'text': asks[i % 5]}]
    if i == 6:
      prompt += [
        {'role': 'assistant', 'text': 'Apple, fig, pear.'},
        {'role': 'human', 'text': 'And now the other way round?'},
      ]
    rows.append(
      {
        'side': 'harmless' if is_red else 'helpful',
        'prompt': prompt,
        'before': 'I do not know. I do not know. I do not know.'
        if i != 4
        else '',
        'best_of_16': 'Water it when dry.\n<script>alert(1)</script>',
        'after': 'I would rather not help with that, since it is not yours. '
        'If you locked yourself out, a locksmith can help.'
        if is_red
        else 'Put it where it gets six hours of sun, water it when the top of '
        'the soil is dry, and pinch the tips so that it stays bushy.',
        'score_before': -0.71 + 0.1 * i,
        'score_after': [0.5, 0.64, 0.8],
      }
    )
  return rows


def shown(num=3, steps=(0, 50, 100)):
  """Replies to the same prompts along training."""
  return [
    {
      'side': ('helpful', 'harmless')[i % 2],
      'prompt': [{'role': 'human', 'text': f'Question {i} <i>now</i>?'}],
      'replies': [
        {
          'step': step,
          'text': '' if (i, step) == (0, 0) else f'Reply {i} at {step}.',
          'score': -0.5 + 0.01 * step + 0.2 * i,
        }
        for step in steps
      ],
    }
    for i in range(num)
  ]


def rlhf_metrics(num=60, seed=1):
  """What every iteration of RLHF logs, and the page shows."""
  rng = np.random.default_rng(seed)
  return [
    {
      'step': step,
      'rollout/score': 0.02 * step + 0.1 * rng.normal(),
      'rollout/kl_k1': 0.3 * step + rng.normal(),
      'rollout/kl_k3': 0.29 * step + 0.5 * rng.random(),
      'rollout/value_explained': 0.8 - 0.7 * math.exp(-step / 20),
      'ppo/clip_fraction': 0.08 + 0.01 * rng.random(),
      'ppo/first_ratio': 1 + 1e-5 * rng.normal(),
    }
    for step in range(1, num + 1)
  ]


def results():
  """Every key that a full run writes."""
  policies = ('pi0', 'best_of_16', 'rlhf', 'best_style')
  stages = {}
  for i, (name, init, data, result) in enumerate(
    [
      ('pretrain', 'random', 'lab documents', 'loss 1.92'),
      ('distill', 'pretrain', 'lab documents, HHH prompt', 'KL 0.031'),
      ('pmp', 'pretrain', 'lab ranked answers', 'accuracy 0.71'),
      ('pm', 'pmp', 'lab comparisons', 'accuracy 0.684'),
      ('pm_held_out', 'pmp', 'lab comparisons, other half', 'accuracy 0.679'),
      ('rlhf', 'distill', 'lab prompts', '+1.67 PM score'),
    ]
  ):
    stages[name] = {
      'init': init,
      'data': data,
      'examples': 4000 * (i + 1),
      'tokens': 512_000 * (i + 1),
      'steps': 300 + 25 * i,
      'learning_rate': 1e-3 / (i + 1),
      'seconds': 61.3 + 20 * i,
      'result': result,
    }
  return {
    'world': 'lab',
    'size': 'nano',
    'command': 'python -m experiments.pipeline '
    '--config=configs/pipeline.py:world=lab,size=nano --workdir=runs/nano',
    'commit': '3f9c1e07a2b54d8890cc12e4f6a7b1d05e93c4aa',
    'hardware': {'cpu': 'Example CPU at 2.7 GHz', 'cores': 2},
    'versions': {'python': '3.11.4', 'jax': '0.10.2', 'flax': '0.12.8'},
    'seconds': 1742.6,
    'lab_version': 3,
    'seeds': [0],
    'data_card': {
      'read': 12_000,
      'kept': 11_871,
      'rejected': {'empty reply': 88, 'unequal prompts': 41},
    },
    'stages': stages,
    'pm_accuracy': {
      'helpful': _band(0.684, 0.021),
      'harmless': _band(0.713, 0.022),
      'all': _band(0.697, 0.015),
    },
    'bayes_accuracy': {
      'helpful': _band(0.742, 0.01),
      'harmless': _band(0.761, 0.01),
      'all': _band(0.751, 0.008),
    },
    'pm_accuracy_by_turn': [
      {
        'side': side,
        'turn': turn,
        'count': 900 // turn,
        'accuracy': _band(
          top - 0.018 * (turn > 1) - 0.003 * turn, 0.02 * turn**0.5
        ),
      }
      for side, top in (('helpful', 0.70), ('harmless', 0.735))
      for turn in range(1, 5)
    ],
    'pm_accuracy_by_tranche': {
      'base': _band(0.705, 0.018),
      'rejection_sampling': _band(0.668, 0.026),
    },
    'baselines': {
      'longer_reply': {
        'helpful': _band(0.561, 0.022),
        'harmless': _band(0.462, 0.022),
        'all': _band(0.514, 0.016),
      }
    },
    'cross_accuracy': {
      'helpful_pm': {
        'helpful': _band(0.701, 0.02),
        'harmless': _band(0.371, 0.022),
      },
      'harmless_pm': {
        'helpful': _band(0.402, 0.021),
        'harmless': _band(0.738, 0.02),
      },
      'mixture': {
        'helpful': _band(0.684, 0.021),
        'harmless': _band(0.713, 0.022),
      },
    },
    'calibration': {'mixture': _calibration(1.15), 'held_out': _calibration(1)},
    'frontier': frontier(),
    'shown': shown(),
    'prompts': {
      'asked_for': 4000,
      'pool': 3990,
      'harmless': 1995,
      'generated': 2900,
      'cut': 7,
    },
    'end': {'sqrt_kl': 5.4, 'eot_rate': _band(0.88, 0.01)},
    'kl': {
      'exact': _band(29.16, 0.8),
      'k1': _band(29.7, 1.1),
      'k3': _band(28.3, 1.0),
    },
    'elo': {
      side: {
        'pi0': [0.0, 0.0, 0.0],
        'best_of_16': _band(150 * scale, 28),
        'rlhf': _band(236 * scale, 31),
      }
      for side, scale in (('overall', 1.0), ('helpful', 0.8), ('harmless', 1.2))
    },
    'win_rates': {
      'pi0/best_of_16': {'wins': _band(0.31, 0.03), 'games': 962},
      'pi0/rlhf': {'wins': _band(0.21, 0.03), 'games': 958},
      'best_of_16/rlhf': {'wins': _band(0.38, 0.03), 'games': 961},
    },
    'gold': {
      'helpfulness': {
        p: _band(x, 0.025) for p, x in zip(policies, (0.35, 0.49, 0.46, 0.94))
      },
      'harmlessness': {
        p: _band(x, 0.025) for p, x in zip(policies, (0.41, 0.61, 0.86, 0.97))
      },
    },
    'pm_gain': {
      model: {
        policy: {'helpful': _band(x, 0.06), 'harmless': _band(x + 0.2, 0.06)}
        for policy, x in zip(policies, (-0.42, 0.55, 1.25))
      }
      for model in ('mixture', 'held_out')
    },
    'games': {
      'played': 2881,
      'equal_texts': 3,
      'too_weak': 412,
      'judge': 'crowd',
      'num_regularised': {'overall': 0, 'helpful': 0, 'harmless': 2},
    },
    'prompt_effect': {
      'helpful': {'prompted': _band(0.21, 0.05), 'student': _band(0.18, 0.05)}
    },
    'rejection': {'gain': _band(1.1, 0.1), 'kl_bound': 1.835, 'line': 'x'},
    'samples': _samples(),
    'thresholds': [
      {'name': 'PM accuracy', 'value': 0.697, 'target': '≥ 0.65', 'met': True},
      {'name': 'RLHF Elo', 'value': 236.0, 'target': '≥ 100', 'met': True},
      {'name': 'ECE', 'value': 0.024, 'target': '≤ 0.02', 'met': False},
    ],
    'state_sha256': {name: f'{i:064x}' for i, name in enumerate(stages)},
  }


def write(workdir, values=None, stages=('pretrain', 'pm', 'rlhf')):
  """Fills a folder; `values` replaces the results."""
  rng = np.random.default_rng(0)
  for stage in stages:
    lines = []
    for step in range(300):
      decay = math.exp(-step / 80)
      line = {'step': step}
      if stage == 'rlhf':
        line['rlhf/score'] = -0.4 + 1.6 * (1 - decay) + 0.1 * rng.normal()
        line['ppo/policy_loss'] = 0.01 * rng.normal()
        line['rlhf/kl'] = 28 * (1 - decay) + rng.normal()
      else:
        line['lm/loss'] = 1.9 + 2 * decay + 0.08 * rng.normal()
        if stage == 'pm':
          line = {'step': step, 'pm/loss': 0.58 + 0.11 * decay}
          line['pm/accuracy'] = 0.69 - 0.19 * decay + 0.06 * rng.normal()
      lines.append(json.dumps(line))
    (workdir / stage).mkdir(parents=True)
    (workdir / stage / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
  if values is None:
    values = results()
  (workdir / 'results.json').write_text(json.dumps(values))
  config = {'seed': 0, 'pm': {'optimizer': {'lr_multiple': 0.01}}}
  (workdir / 'config.json').write_text(json.dumps(config))
  return workdir
