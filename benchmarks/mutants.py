"""Every small change of a file, as JSON lines; needs cosmic-ray.

  python benchmarks/mutants.py FILE

A line has the operator, the line that it changes and the whole changed source.
"""

from __future__ import annotations

import json
import pathlib
import sys

from cosmic_ray import ast, mutating, plugins


def main() -> None:
  """Prints the changes in the order of the tool's operators."""
  source = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')
  nodes = list(ast.ast_nodes(ast.get_ast(source)))
  for name in plugins.operator_names():
    kind = plugins.get_operator(name)
    if kind.arguments():
      continue
    starts = [
      start for node in nodes for start, _ in kind().mutation_positions(node)
    ]
    for occurrence, start in enumerate(starts):
      change = {
        'operator': name.partition('/')[2],
        'line': start[0],
        'source': mutating.mutate_code(source, kind(), occurrence),
      }
      print(json.dumps(change))


if __name__ == '__main__':
  main()
