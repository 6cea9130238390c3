"""Rendered files that are compared with those of this folder.

They change when what is rendered does: then run the tests once with
HH_JAX_WRITE_GOLDEN=1 and read the difference before committing it.
"""

import os
import pathlib

FOLDER = pathlib.Path(__file__).parent / 'golden'


def compare(name, text):
  path = FOLDER / name
  if os.environ.get('HH_JAX_WRITE_GOLDEN') == '1':
    path.write_text(text)
  assert text == path.read_text(), (
    f'{path} differs; if that is meant, write it with HH_JAX_WRITE_GOLDEN=1'
  )
