"""Settings under which every test runs, and the fixture of the real data."""

import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jaxtyping

from tests import typechecker

# Before any module of the library is imported, so that the shapes its
# functions declare are checked in every test.
jaxtyping.install_import_hook('hh_jax', f'{typechecker.__name__}.check')

import hypothesis
import jax
import pytest

from hh_jax.launch import environment

ROOT = pathlib.Path(__file__).parents[1]

environment.keep_freed_memory()
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

hypothesis.settings.register_profile(
  'quick', derandomize=True, deadline=None, database=None
)
hypothesis.settings.register_profile(
  'long', deadline=None, max_examples=1000, print_blob=True
)
hypothesis.settings.register_profile(
  'brief',  # a few cases, and what fails is not made smaller
  derandomize=True,
  deadline=None,
  database=None,
  max_examples=20,
  phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'quick'))


@pytest.fixture(scope='session')
def real_data() -> pathlib.Path:
  """Folder of the real data sets; skips the test where there is none."""
  folder = pathlib.Path(os.environ.get('HH_JAX_DATA', '../shared/data'))
  folder = (ROOT / folder).resolve()
  if not folder.is_dir():
    pytest.skip(
      'no real data: set HH_JAX_DATA to a folder with hh_rlhf/, '
      'stackexchange/, lm_text/ and evals/'
    )
  return folder
