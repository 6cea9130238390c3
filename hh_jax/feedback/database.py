"""One database, SQLite or PostgreSQL, and transactions that are kept or said.

1. SQLite runs in WAL mode with synchronous=FULL: a transaction that was
   committed survives the loss of power. One thread writes. It carries out all
   commands that have come, each in a savepoint of its own, and commits them
   together (group commit): one fsync for many, and none is answered before it.
   BEGIN IMMEDIATE keeps other processes out.
2. On PostgreSQL writers of different invites run side by side; what two of them
   must not both do, a unique constraint refuses, and the loser runs again.
3. Writers have threads of their own, so that readers never wait for them. A
   reader sees one state of the database, whatever is written meanwhile.
4. Whatever keeps a transaction from being committed becomes `UnavailableError`:
   nothing was stored, and whoever asked is told so.
5. Opening migrates the schema to this version, under a lock.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import alembic.command
import alembic.config
import alembic.util
import sqlalchemy as sa

ResultT = TypeVar('ResultT')

MIGRATIONS = pathlib.Path(__file__).parent / 'migrations'
LOCK_SECONDS = 5.0  # a writer waits for its turn, then gives up
POOL = 16  # connections kept, one a reader; as many again for writers
STATEMENT_SECONDS = 30.0  # PostgreSQL gives up on what takes longer
IDLE_SECONDS = 120.0  # PostgreSQL undoes what nobody goes on with
_MIGRATION_LOCK = 220405862  # of PostgreSQL's advisory locks


class UnavailableError(Exception):
  """The database did not store, or did not answer; nothing was changed."""


@dataclasses.dataclass(frozen=True)
class _Order:
  """A command that waits to be carried out."""

  command: Callable[[sa.Connection], Any]
  answer: Future[Any] = dataclasses.field(default_factory=Future)


class Database:
  """Transactions on one database; `open_database` makes it."""

  def __init__(self, engine: sa.Engine):
    self._engine = engine
    self.is_sqlite = engine.dialect.name == 'sqlite'
    self._writer = engine.execution_options(writes=True)
    self._reader = engine
    if not self.is_sqlite:  # SQLite's readers see one state anyway
      self._reader = engine.execution_options(
        isolation_level='REPEATABLE READ', postgresql_readonly=True
      )
    self._turn = threading.Lock()
    self._orders: collections.deque[_Order] = collections.deque()
    self._threads = ThreadPoolExecutor(
      1 if self.is_sqlite else POOL, thread_name_prefix='writer'
    )

  def close(self) -> None:
    """Closes the connections once what was to be written is."""
    self._threads.shutdown()
    self._engine.dispose()

  @contextlib.contextmanager
  def reading(self) -> Iterator[sa.Connection]:
    """A connection whose reads see one state of the database.

    Raises:
      UnavailableError: The database cannot be read.
    """
    with _translated(), self._reader.connect() as connection:
      yield connection

  @contextlib.contextmanager
  def writing(self) -> Iterator[sa.Connection]:
    """A transaction, committed at the end and undone by an exception.

    Raises:
      UnavailableError: It could not be committed.
      sqlalchemy.exc.IntegrityError: Another writer was first.
    """
    with _translated(), self._own_turn(), self._writer.begin() as connection:
      yield connection

  def write(self, command: Callable[[sa.Connection], ResultT]) -> ResultT:
    """Runs a command in a transaction, again if another writer was first.

    Raises:
      UnavailableError: It could not be committed.
      Exception: What the command raises; then nothing was stored.
    """
    return self.submit(command).result()

  def submit(
    self, command: Callable[[sa.Connection], ResultT]
  ) -> Future[ResultT]:
    """Has a command run on a writer's thread; `write` waits for its result."""
    if not self.is_sqlite:
      return self._threads.submit(self._write_alone, command)
    order = _Order(command)
    self._orders.append(order)
    self._threads.submit(self._write_together)
    return order.answer

  def _write_alone(
    self, command: Callable[[sa.Connection], ResultT]
  ) -> ResultT:
    try:
      with self.writing() as connection:
        return command(connection)
    except sa.exc.IntegrityError:
      with _once(), self.writing() as connection:
        return command(connection)

  def _write_together(self) -> None:
    """Carries out all commands that have come since the last commit."""
    orders = [self._orders.popleft() for _ in range(len(self._orders))]
    orders = [
      order for order in orders if order.answer.set_running_or_notify_cancel()
    ]
    if len(orders) > 1 and self._try_together(orders):
      return
    for order in orders:  # where one fails the others are not to
      try:
        result = self._write_alone(order.command)
      except BaseException as error:
        order.answer.set_exception(error)
      else:
        order.answer.set_result(result)

  def _try_together(self, orders: Sequence[_Order]) -> bool:
    """Commits commands as one transaction; False if one of them broke it."""
    ends: list[Callable[[], None]] = []
    is_begun = False
    try:
      with self.writing() as connection:
        is_begun = True
        for order in orders:
          ends.append(_try(connection, order))
    except Exception as error:  # the database's; `_try` keeps a command's
      if is_begun:
        return False
      ends = [functools.partial(o.answer.set_exception, error) for o in orders]
    for end in ends:  # now it is stored
      end()
    return True

  @contextlib.contextmanager
  def _own_turn(self) -> Iterator[None]:
    if not self.is_sqlite:
      yield
      return
    if not self._turn.acquire(timeout=LOCK_SECONDS):
      raise UnavailableError('the database is busy')
    try:
      yield
    finally:
      self._turn.release()


def _try(connection: sa.Connection, order: _Order) -> Callable[[], None]:
  """Carries out a command in a savepoint; returns what answers it.

  Raises:
    sqlalchemy.exc.SQLAlchemyError: The database failed, not the command.
  """
  try:
    with connection.begin_nested():
      result = order.command(connection)
  except sa.exc.SQLAlchemyError:
    raise
  except BaseException as error:
    return functools.partial(order.answer.set_exception, error)
  return functools.partial(order.answer.set_result, result)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
  try:
    yield
  except sa.exc.IntegrityError:
    raise
  except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
    raise UnavailableError(_reason(error)) from error


@contextlib.contextmanager
def _once() -> Iterator[None]:
  try:
    yield
  except sa.exc.IntegrityError as error:
    raise UnavailableError(_reason(error)) from error


def _reason(error: Exception) -> str:
  """The driver's own words, without the statement and what was to be stored."""
  origin = getattr(error, 'orig', None) or error
  return ' '.join(str(origin).split())[:200]


def open_database(url: str, *, must_exist: bool = False) -> Database:
  """Opens, makes or migrates the database of a URL.

  Args:
    url: `sqlite:///FILE`, a plain file name, or `postgresql://...`.
    must_exist: Whether an SQLite file that is not there is an error.

  Raises:
    ValueError: There is none, or it is not one of ours, or of a newer version.
  """
  place = _parse_url(url)
  spelled = place.render_as_string(hide_password=True)
  file = file_of(url)
  if must_exist and file is not None and not file.exists():
    raise ValueError(f'--db={spelled} does not exist')
  try:
    engine = _engine(place)
    _migrate(engine)
  except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
    raise ValueError(f'--db={spelled}: {_reason(error)}') from None
  except ImportError as error:
    raise ValueError(
      f'--db={spelled}: {error}; install hh_jax[feedback]'
    ) from None
  except alembic.util.CommandError as error:
    raise ValueError(
      f'--db={spelled} was made by another version of hh_jax ({error})'
    ) from None
  return Database(engine)


def file_of(url: str) -> pathlib.Path | None:
  """The file of an SQLite URL, or None of another database."""
  place = _parse_url(url)
  is_file = place.get_backend_name() == 'sqlite'
  return pathlib.Path(place.database or '') if is_file else None


def _parse_url(url: str) -> sa.URL:
  if '://' not in url:
    url = f'sqlite:///{url}'
  try:
    place = sa.make_url(url)
  except sa.exc.ArgumentError:
    raise ValueError(
      f'--db={url} is no address; give a file or postgresql://USER@HOST/NAME'
    ) from None
  kind = place.get_backend_name()
  if kind == 'postgresql':
    return place.set(drivername='postgresql+psycopg')
  if kind != 'sqlite' or not place.database or place.database == ':memory:':
    raise ValueError(
      f'--db={place.render_as_string()} is neither an SQLite file nor '
      'PostgreSQL; give a file or postgresql://USER@HOST/NAME'
    )
  folder = pathlib.Path(place.database).absolute().parent
  if not folder.is_dir():
    raise ValueError(f'--db={url}: there is no folder {folder}; make it first')
  return place


def _engine(place: sa.URL) -> sa.Engine:
  if place.get_backend_name() == 'postgresql':
    return sa.create_engine(
      place,
      pool_size=POOL,
      max_overflow=POOL,
      pool_timeout=LOCK_SECONDS,
      pool_pre_ping=True,
      connect_args={
        'connect_timeout': int(max(LOCK_SECONDS, 2)),
        'keepalives_idle': 10,
        'options': _options(
          lock_timeout=LOCK_SECONDS,
          statement_timeout=STATEMENT_SECONDS,
          idle_in_transaction_session_timeout=IDLE_SECONDS,
        ),
      },
    )
  engine = sa.create_engine(
    place,
    pool_size=POOL,
    max_overflow=POOL,
    pool_timeout=LOCK_SECONDS,
    connect_args={'timeout': LOCK_SECONDS, 'check_same_thread': False},
  )

  @sa.event.listens_for(engine, 'connect')
  def prepare(connection, _) -> None:
    connection.isolation_level = None  # transactions are begun below
    (mode,) = connection.execute('PRAGMA journal_mode=WAL').fetchone()
    if mode != 'wal':
      raise ValueError(
        f'the file system of {place.database} is not one that SQLite can share '
        f'memory on (journal_mode={mode}); keep the database on a local disk'
      )
    for pragma in ('synchronous=FULL', 'foreign_keys=ON'):
      connection.execute(f'PRAGMA {pragma}')

  @sa.event.listens_for(engine, 'begin')
  def begin(connection: sa.Connection) -> None:
    is_writer = connection.get_execution_options().get('writes', False)
    connection.exec_driver_sql('BEGIN IMMEDIATE' if is_writer else 'BEGIN')

  return engine


def _options(**seconds: float) -> str:
  """Settings of a PostgreSQL session; what is acknowledged is on its disk."""
  limits = [f'-c {name}={1000 * value:.0f}' for name, value in seconds.items()]
  return ' '.join([*limits, '-c synchronous_commit=on'])


def _migrate(engine: sa.Engine) -> None:
  config = alembic.config.Config()
  config.set_main_option('script_location', str(MIGRATIONS))
  writer = engine.execution_options(writes=True)
  with writer.begin() as connection:
    if engine.dialect.name == 'postgresql':
      connection.execute(
        sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK))
      )
    config.attributes['connection'] = connection
    alembic.command.upgrade(config, 'head')
