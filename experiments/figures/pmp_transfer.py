"""Preference-model pretraining against comparisons (Askell et al. 2021).

python -m experiments.figures.pmp_transfer \
    --config=configs/figures/pmp_transfer.py:world=lab,size=nano \
    --workdir=runs/figures
"""

from hh_jax.config import TransferConfig
from hh_jax.launch import cli


def main(config: TransferConfig, workdir: str) -> str:
  from hh_jax.report import paper_figures, publish
  from hh_jax.stages.studies import transfer

  figure = publish.Figure(
    'pmp_transfer',
    'Preference-model pretraining against comparisons (Askell et al. 2021)',
    'Accuracy after finetuning on so many comparisons, from a plain '
    'language model and after pretraining on ranked answers, as ranked or '
    'as binary pairs.',
    transfer.transfer,
    paper_figures.pmp_transfer,
  )
  return publish.run(figure, config, workdir, cli.command_line())


if __name__ == '__main__':
  cli.run(main, TransferConfig)
