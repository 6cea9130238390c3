"""Programs of a cluster that must be there and answer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

ANSWER_SECONDS = 3.0  # for a version, which asks no server
WORK_SECONDS = 60.0


def require(program: str, *args: str) -> None:
  """Raises ValueError unless a program is on the PATH and answers.

  Args:
    program: Its name.
    *args: A question that costs nothing, such as its version.
  """
  if shutil.which(program) is None:
    raise ValueError(
      f'{program} is not on the PATH; run this where jobs are submitted, or '
      'take --executor=print'
    )
  run([program, *args], ANSWER_SECONDS)


def run(command: Sequence[str], seconds: float = WORK_SECONDS) -> str:
  """Returns what a program prints.

  Raises:
    ValueError: It fails or does not answer in time; its last words are told.
  """
  spelled = ' '.join(command[:3])
  try:
    done = subprocess.run(
      command, capture_output=True, text=True, timeout=seconds, check=False
    )
  except subprocess.TimeoutExpired:
    raise ValueError(f'{spelled}: no answer within {seconds:.0f} s') from None
  except OSError as error:
    raise ValueError(f'{spelled}: {error.strerror}') from None
  if done.returncode:
    said = (done.stderr or done.stdout).strip().split('\n')[-1]
    raise ValueError(
      f'{spelled} ended with exit code {done.returncode}: {said}'
    )
  return done.stdout
