"""Writes the inputs of one size, in a process of its own.

Big networks are made where they will run, and the process that drives a
benchmark keeps neither them nor an accelerator's memory.
"""

from __future__ import annotations

import argparse
import json
import pathlib

from benchmarks import inputs


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--folder', type=pathlib.Path, required=True)
  parser.add_argument('--size', required=True)
  parser.add_argument('--vocab', type=int, required=True)
  parser.add_argument('--data', default='')
  parser.add_argument('--families', default=','.join(inputs.FAMILIES))
  options = parser.parse_args()
  facts = inputs.prepare(
    options.folder,
    options.size,
    options.vocab,
    options.data,
    options.families.split(','),
  )
  print(json.dumps(facts))


if __name__ == '__main__':
  main()
