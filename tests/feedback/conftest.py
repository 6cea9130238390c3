"""Databases of both kinds, each test's its own; PostgreSQL started once."""

import os
import pathlib
import pwd
import secrets
import shutil
import subprocess
import tempfile

import pytest
import sqlalchemy as sa

from hh_jax.feedback import database
from tests.feedback import browser as browser_lib
from tests.feedback.site import running

BINARIES = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'))
USER = 'postgres'


def _as_user(*command):
  """Runs a program as a user who may run PostgreSQL: root may not."""
  if os.geteuid() == 0:
    command = ('setpriv', f'--reuid={USER}', '--clear-groups', *command)
  done = subprocess.run(
    [str(part) for part in command], capture_output=True, text=True
  )
  if done.returncode:
    pytest.skip(f'PostgreSQL did not start: {done.stderr.strip()[-300:]}')


@pytest.fixture(scope='session')
def postgresql():
  """URL prefix of a cluster of our own, on a socket in a folder of its own."""
  if not BINARIES:
    pytest.skip('no PostgreSQL server: install the package postgresql')
  folder = pathlib.Path(tempfile.mkdtemp(prefix='hh_pg_'))
  data = folder / 'data'
  try:
    if os.geteuid() == 0:
      try:
        owner = pwd.getpwnam(USER)
      except KeyError:
        pytest.skip(f'root may not run PostgreSQL, and there is no {USER} user')
      os.chown(folder, owner.pw_uid, owner.pw_gid)
    _as_user(
      BINARIES[-1] / 'initdb', '-D', data, '-A', 'trust', '-U', USER, '-N'
    )
    # Our server is killed in these tests, PostgreSQL never is.
    options = f'-c fsync=off -c listen_addresses= -k {folder}'
    _as_user(
      BINARIES[-1] / 'pg_ctl',
      *('-D', data, '-o', options, '-l', folder / 'log', '-w', 'start'),
    )
    yield f'postgresql://{USER}@/{{name}}?host={folder}'
    _as_user(
      BINARIES[-1] / 'pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop'
    )
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def new_database(postgresql):
  """URL of an empty database."""
  name = f'test_{secrets.token_hex(4)}'
  url = postgresql.format(name='postgres').replace('ql:', 'ql+psycopg:', 1)
  engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
  with engine.connect() as connection:
    connection.execute(sa.text(f'CREATE DATABASE {name}'))
  engine.dispose()
  return postgresql.format(name=name)


@pytest.fixture(
  params=['sqlite', pytest.param('postgresql', marks=pytest.mark.slow)]
)
def db(request, tmp_path):
  """URL of an empty database of either kind."""
  if request.param == 'postgresql':
    return new_database(request.getfixturevalue('postgresql'))
  return str(tmp_path / 'feedback.db')


@pytest.fixture
def opened(db):
  made = database.open_database(db)
  yield made
  made.close()


@pytest.fixture
def lite(tmp_path):
  """A running application, where the kind of the database does not matter."""
  with running(str(tmp_path / 'feedback.db')) as made:
    yield made


@pytest.fixture(scope='module')
def browser():
  """Chromium; the test is skipped where there is none."""
  with browser_lib.chromium() as made:
    yield made


@pytest.fixture
def site(tmp_path):
  """A running application that browsers can open."""
  with browser_lib.Served(str(tmp_path / 'feedback.db')) as made:
    yield made
