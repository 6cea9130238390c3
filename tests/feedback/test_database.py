"""Facts are kept: migrations, triggers, transactions, and what goes wrong."""

import sqlite3
import threading

import alembic.autogenerate
import alembic.migration
import pytest
import sqlalchemy as sa

from hh_jax.feedback import database, people, schema
from hh_jax.feedback.database import UnavailableError
from tests.feedback import conftest


def add_worker(connection, name='Ada'):
  return people.find_worker(connection, name)


def num_workers(opened):
  with opened.reading() as connection:
    query = sa.select(sa.func.count()).select_from(schema.workers)
    return connection.execute(query).scalar()


def test_migrations_make_the_schema(opened):
  with opened.reading() as connection:
    context = alembic.migration.MigrationContext.configure(connection)
    found = alembic.autogenerate.compare_metadata(context, schema.metadata)
    names = set(sa.inspect(connection).get_table_names())
  assert found == []
  assert names == {*schema.metadata.tables, 'alembic_version'}


@pytest.mark.parametrize('table', sorted(schema.metadata.tables))
@pytest.mark.parametrize(
  'change', ['UPDATE {} SET created_at = 0', 'DELETE FROM {}']
)
def test_facts_are_never_changed(tmp_path_factory, table, change):
  opened = _filled(tmp_path_factory)
  with (
    pytest.raises((sa.exc.IntegrityError, UnavailableError), match='never'),
    opened.writing() as connection,
  ):
    connection.execute(sa.text(change.format(table)))


_MADE = {}


def _filled(tmp_path_factory):
  """A database with a row in every table, made once."""
  if 'it' not in _MADE:
    path = tmp_path_factory.mktemp('filled') / 'feedback.db'
    made = database.open_database(str(path))
    _fill(made)
    _MADE['it'] = made
  return _MADE['it']


def _fill(opened):
  """Puts a row into every table, of whatever its columns take."""
  samples = {'slot': 'a', 'step': 1, 'rating': 1}
  with opened.writing() as connection:
    for table in schema.metadata.sorted_tables:
      row = {}
      for column in table.columns:
        if column.name == 'kind' and table.name == 'endings':
          row['kind'] = 'finished'
        elif column.name in samples:
          row[column.name] = samples[column.name]
        elif isinstance(column.type, sa.Text):
          row[column.name] = 'text'
        else:
          row[column.name] = 1
      connection.execute(sa.insert(table).values(row))


@pytest.mark.slow
def test_facts_are_never_changed_on_postgresql(postgresql, request):
  opened = database.open_database(conftest.new_database(postgresql))
  _fill(opened)
  for table in schema.metadata.tables:
    for change in ('UPDATE {} SET created_at = 0', 'DELETE FROM {}'):
      with (
        pytest.raises(UnavailableError, match='never changed'),
        opened.writing() as connection,
      ):
        connection.execute(sa.text(change.format(table)))
  opened.close()


def test_a_transaction_is_kept_or_undone(opened):
  opened.write(add_worker)
  with pytest.raises(KeyError), opened.writing() as connection:
    add_worker(connection, 'Bob')
    raise KeyError
  assert num_workers(opened) == 1


def hold_the_writer(opened):
  """Keeps SQLite's one writer busy until the returned event is set."""
  is_held, gate = threading.Event(), threading.Event()

  def command(connection):
    is_held.set()
    assert gate.wait(60)

  opened.submit(command)
  assert is_held.wait(60)
  return gate


def test_commands_that_wait_are_committed_together(tmp_path):
  opened = database.open_database(str(tmp_path / 'a.db'))
  commits = []
  sa.event.listen(opened._engine, 'commit', commits.append)
  gate = hold_the_writer(opened)

  def refuse(connection):
    add_worker(connection, 'Nobody')
    raise KeyError

  answers = [
    opened.submit(lambda c, name=name: add_worker(c, name))
    for name in ('Ada', 'Bob', 'Ada')
  ]
  refused = opened.submit(refuse)
  gate.set()
  found = [answer.result(60) for answer in answers]
  assert found[0] == found[2] != found[1]
  with pytest.raises(KeyError):
    refused.result(60)
  assert len(commits) == 2  # of who held the writer, and of all others
  assert num_workers(opened) == 2
  opened.close()


@pytest.mark.parametrize('is_twice', [False, True])
def test_a_command_that_fails_fails_alone(tmp_path, is_twice):
  opened = database.open_database(str(tmp_path / 'a.db'))
  gate = hold_the_writer(opened)

  def fill(connection):
    pages = connection.exec_driver_sql('PRAGMA page_count').scalar()
    connection.exec_driver_sql(f'PRAGMA max_page_count = {pages + 2}')
    add_worker(connection, 'x' * 100_000)

  def orphan(connection):
    connection.execute(
      sa.insert(schema.conversations).values(
        invite_id=7, number=1, created_at=0
      )
    )

  bad = opened.submit(orphan if is_twice else fill)
  good = opened.submit(add_worker)
  gate.set()
  with pytest.raises(UnavailableError):
    bad.result(60)
  assert good.result(60)
  assert num_workers(opened) == 1
  opened.close()


def test_a_reader_sees_one_state(opened):
  opened.write(add_worker)
  with opened.reading() as connection:
    query = sa.select(sa.func.count()).select_from(schema.workers)
    assert connection.execute(query).scalar() == 1
    opened.write(lambda c: add_worker(c, 'Bob'))
    assert connection.execute(query).scalar() == 1
  assert num_workers(opened) == 2


@pytest.mark.slow
def test_a_row_that_somebody_holds_is_not_waited_for_without_end(
  postgresql, monkeypatch
):
  monkeypatch.setattr(database, 'LOCK_SECONDS', 0.5)
  opened = database.open_database(conftest.new_database(postgresql))
  opened.write(add_worker)
  row = sa.select(schema.workers.c.id).with_for_update()
  with opened.writing() as holder:
    holder.execute(row)
    with pytest.raises(UnavailableError, match='lock timeout'):
      opened.write(lambda connection: connection.execute(row).all())
  opened.close()


def test_a_file_system_without_shared_memory_is_named(tmp_path):
  place = f'sqlite:///file:{tmp_path}/a.db?vfs=unix-dotfile&uri=true'
  with pytest.raises(ValueError, match='journal_mode=delete'):
    database._engine(sa.make_url(place)).connect()


def test_opening_again_changes_nothing(db):
  first = database.open_database(db)
  first.write(add_worker)
  first.close()
  second = database.open_database(db)
  assert num_workers(second) == 1
  second.close()


def test_sqlite_survives_power_loss_and_checks_references(tmp_path):
  opened = database.open_database(str(tmp_path / 'a.db'))
  with opened.reading() as connection:
    pragmas = {
      name: connection.exec_driver_sql(f'PRAGMA {name}').scalar()
      for name in ('journal_mode', 'synchronous', 'foreign_keys')
    }
  assert pragmas == {'journal_mode': 'wal', 'synchronous': 2, 'foreign_keys': 1}
  with pytest.raises(UnavailableError, match='FOREIGN KEY'):
    opened.write(
      lambda connection: connection.execute(
        sa.insert(schema.conversations).values(
          invite_id=7, number=1, created_at=0
        )
      )
    )
  opened.close()


def test_a_locked_database_is_unavailable(tmp_path, monkeypatch):
  monkeypatch.setattr(database, 'LOCK_SECONDS', 0.2)
  path = tmp_path / 'a.db'
  opened = database.open_database(str(path))
  other = sqlite3.connect(path, isolation_level=None)
  other.execute('BEGIN EXCLUSIVE')
  with pytest.raises(UnavailableError, match='locked'):
    opened.write(add_worker)
  other.execute('ROLLBACK')
  opened.write(add_worker)
  assert num_workers(opened) == 1
  other.close()
  opened.close()


def test_a_full_disk_is_unavailable_and_nothing_is_stored(tmp_path):
  opened = database.open_database(str(tmp_path / 'a.db'))

  def fill(connection):
    pages = connection.exec_driver_sql('PRAGMA page_count').scalar()
    connection.exec_driver_sql(f'PRAGMA max_page_count = {pages + 2}')
    for number in range(1000):
      add_worker(connection, f'{number} ' + 'x' * 1000)

  with pytest.raises(UnavailableError, match='full'):
    opened.write(fill)
  assert num_workers(opened) == 0
  opened.close()


def test_a_truncated_database_is_unavailable(tmp_path):
  path = tmp_path / 'a.db'
  opened = database.open_database(str(path))
  for number in range(200):
    opened.write(lambda c, n=number: add_worker(c, f'{n} ' + 'x' * 500))
  opened.close()
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
  with pytest.raises((ValueError, UnavailableError)):
    num_workers(database.open_database(str(path)))


@pytest.mark.parametrize(
  ('url', 'said'),
  [
    ('mysql://host/name', 'neither an SQLite file nor PostgreSQL'),
    ('sqlite://', 'neither an SQLite file nor PostgreSQL'),
    ('://', 'is no address'),
    ('postgresql://nobody@127.0.0.1:1/none', 'refused'),
  ],
)
def test_a_wrong_url_is_named(url, said):
  with pytest.raises(ValueError, match=said):
    database.open_database(url)


def test_a_wrong_file_is_named(tmp_path):
  with pytest.raises(ValueError, match='there is no folder'):
    database.open_database(str(tmp_path / 'nowhere' / 'a.db'))
  with pytest.raises(ValueError, match='does not exist'):
    database.open_database(str(tmp_path / 'a.db'), must_exist=True)
  other = tmp_path / 'letter.txt'
  other.write_text('Dear database, ' * 100)
  with pytest.raises(ValueError, match='not a database'):
    database.open_database(str(other))


def test_a_database_of_a_later_version_is_refused(tmp_path):
  path = tmp_path / 'a.db'
  database.open_database(str(path)).close()
  connection = sqlite3.connect(path)
  connection.execute("UPDATE alembic_version SET version_num = '9999'")
  connection.commit()
  connection.close()
  with pytest.raises(ValueError, match='another version of hh_jax'):
    database.open_database(str(path))


def test_a_password_is_not_shown():
  with pytest.raises(ValueError) as found:
    database.open_database('postgresql://me:hunter2@127.0.0.1:1/none')
  assert 'hunter2' not in str(found.value)
