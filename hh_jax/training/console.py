"""What a run says off a terminal: the lines of this package, no other's."""

from __future__ import annotations

import logging
import sys

PACKAGE = 'hh_jax'


def show_log(level: int = logging.INFO) -> None:
  """Prints the package's log lines to standard error; for entry points.

  The root logger stays as it is: at this level the checkpoint library alone
  writes forty lines a save.
  """
  logger = logging.getLogger(PACKAGE)
  if not logger.handlers:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
      logging.Formatter('%(asctime)s %(message)s', '%Y-%m-%d %H:%M:%S')
    )
    logger.addHandler(handler)
  logger.setLevel(level)
  logger.propagate = False
