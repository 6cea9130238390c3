"""Pictures of harmful prompts found by activations (figures 22, 23 and 39)."""

from __future__ import annotations

from hh_jax.report import paper_values
from hh_jax.report import run as run_lib
from hh_jax.report.bias_figures import histogram
from hh_jax.report.lines import Lines, Values, by, of
from hh_jax.report.style import Picture

_AUROC = 'AUROC (0.5 is chance)'
TITLES = {
  'relative': 'Simplified relative Mahalanobis',
  'mahalanobis': 'Mahalanobis',
}


def fig22(values: Values) -> list[Picture]:
  """Relative Mahalanobis by layer and size; scores of both kinds."""
  return [
    *_by_layer('fig22', values),
    *_by_layer('fig22', values, 'other_pooling'),
    histogram(
      'fig22_scores',
      'Scores of held-out prompts, largest size',
      run_lib.as_rows(values.get('scores')),
      'score',
      'simplified relative Mahalanobis distance',
      group='kind',
    ),
  ]


def fig39(values: Values) -> list[Picture]:
  """Both distances by layer and size."""
  return _by_layer('fig39', values)


def _by_layer(
  name: str, values: Values, key: str = 'by_layer'
) -> list[Picture]:
  rows = run_lib.as_rows(values.get(key))
  pooling = {str(row.get('pooling')) for row in rows if row.get('pooling')}
  ending = ''.join(f', pooled by {name}' for name in sorted(pooling))
  methods = dict.fromkeys(str(row.get('method')) for row in rows)
  return [
    Lines(
      f'{name}_{key}_{method}',
      TITLES[method] + ending,
      of(rows, method=method),
      'depth',
      by('size'),
      'layer / number of layers',
      'auroc',
      _AUROC,
      paper=paper_values.OOD if method == 'relative' else {},
    ).picture()
    for method in methods
  ]


def fig23(values: Values) -> list[Picture]:
  """Outlier exposure against the number of prompts shown."""
  return [
    Lines(
      'fig23',
      'Outlier exposure',
      run_lib.as_rows(values.get('by_exposed')),
      'exposed',
      by('size'),
      'harmful prompts shown',
      'auroc',
      _AUROC,
      is_log=True,
      paper=paper_values.EXPOSED,
    ).picture()
  ]
