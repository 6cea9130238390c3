"""Pages of researchers, and what they decide.

Decisions are rows like all other facts; forms lead back to the page they are
on. Nothing here shows a token again, or lets a researcher change what a worker
did.
"""

from __future__ import annotations

import io
import secrets
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from starlette.responses import RedirectResponse, Response

from hh_jax.config.feedback import TASKS
from hh_jax.feedback import (
  browse,
  deployment,
  exchanges,
  export,
  measures,
  overview,
  people,
  requests,
)
from hh_jax.feedback.refusals import RefusedError, not_found
from hh_jax.feedback.serving import ADMIN, Ask, route

VERDICTS = ('', 'good', 'refused')  # of a spot check
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # archives of equal files are equal


def workers(ask: Ask) -> Response:
  """All workers, what they did and how."""
  with ask.services.database.reading() as connection:
    found = measures.choices(connection)
    rows = browse.workers(connection)
    held = people.all_latest(connection, 'hold')
  return ask.page(
    'admin/workers.html',
    workers=rows,
    done=measures.by_worker(found),
    held={key for key, value in held.items() if value},
  )


def worker(ask: Ask) -> Response:
  """Newest conversations of a worker, for a spot check."""
  number = ask.number('worker')
  with ask.services.database.reading() as connection:
    name = browse.worker_name(connection, number)
    if name is None:
      raise not_found()
    rows = browse.conversations(connection, worker=number, limit=20)
    shown = [_dialogue(connection, row) for row in rows]
  return ask.page('admin/worker.html', name=name, dialogues=shown)


def _dialogue(
  connection: sa.Connection, row: Mapping[str, object]
) -> dict[str, object]:
  number = int(str(row['id']))
  return {
    'about': row,
    'exchanges': exchanges.read(connection, number),
    'check': people.latest(connection, 'check', number, ''),
  }


def hold_worker(ask: Ask) -> Response:
  """Pauses a worker, or lets the worker go on."""
  number, is_held = ask.number('worker'), ask.form().get('value') == '1'

  def command(connection: sa.Connection) -> None:
    if browse.worker_name(connection, number) is None:
      raise not_found()
    people.decide(connection, ask.actor, 'hold', number, is_held)

  return _decided(ask, command, '/admin/workers')


def _decided(
  ask: Ask, command: Callable[[sa.Connection], None], then: str
) -> Response:
  ask.services.database.write(command)
  return RedirectResponse(then, 303)


def models(ask: Ask) -> Response:
  """All models, their traffic and their failures."""
  services = ask.services
  with services.database.reading() as connection:
    rows = browse.snapshots(connection)
    weights = deployment.shares(connection, services.deployed)
    paused = people.all_latest(connection, 'pause')
    decided = people.all_latest(connection, 'share')
  total = sum(weights.values())
  shares = {
    key: decided.get(key, entry.share)
    for key, entry in services.deployed.items()
  }
  return ask.page(
    'admin/models.html',
    models=rows,
    shares=shares,
    traffic={key: w / total if total else 0.0 for key, w in weights.items()},
    paused={key for key, value in paused.items() if value},
  )


def set_model(ask: Ask) -> Response:
  """Pauses a model, lets it go on, or changes its share of the traffic."""
  number, form = ask.number('model'), ask.form()

  def command(connection: sa.Connection) -> None:
    if number not in browse.snapshot_names(connection):
      raise not_found()
    if 'share' in form:
      share = _share(form['share'])
      people.decide(connection, ask.actor, 'share', number, share)
    if 'pause' in form:
      is_paused = form['pause'] == '1'
      people.decide(connection, ask.actor, 'pause', number, is_paused)

  return _decided(ask, command, '/admin/models')


def _share(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value < 1e6:
    raise RefusedError(422, 'no_share', 'A share is a number from 0.')
  return value


def invites(ask: Ask) -> Response:
  """All links, and the form that makes new ones."""
  return _invites_page(ask, ())


def _invites_page(ask: Ask, made: Sequence[tuple[str, str]]) -> Response:
  with ask.services.database.reading() as connection:
    rows = browse.invites(connection)
  return ask.page(
    'admin/invites.html',
    invites=rows,
    made=made,
    tasks=TASKS,
    key=secrets.token_hex(12),
  )


def make_invites(ask: Ask) -> Response:
  """Makes links, one a name, and shows them this once.

  The form has a key: loading the page again sends it again and makes nothing.
  """
  form = ask.form()
  names = [name.strip() for name in form.get('names', '').splitlines()]
  names = list(dict.fromkeys(name for name in names if name))
  if not 1 <= len(names) <= 500:
    raise RefusedError(422, 'no_names', 'Give 1 to 500 names, one a line.')
  try:
    number = int(form.get('num_conversations', ''))
    days = float(form.get('days', ''))
  except ValueError:
    raise RefusedError(
      422, 'no_number', 'Conversations and days must be numbers.'
    ) from None
  task = form.get('task', '')
  if task not in TASKS:
    raise RefusedError(422, 'no_task', 'Choose a task.')

  key = requests.clean_key(form.get('key'))
  tokens: dict[str, str] = {}  # are in no row, and in no answer that is kept

  def command(connection: sa.Connection) -> requests.Ack:
    for name in names:
      token = people.invite(connection, name, task, number, 24 * days)
      tokens[name] = token
    return {'made': len(names)}

  asked = requests.digest('POST', '/admin/invites', ask.body)
  try:
    ask.services.database.write(
      lambda connection: requests.carry_out(
        connection, ask.actor, key, asked, lambda: command(connection)
      )
    )
  except (OverflowError, ValueError) as error:
    raise RefusedError(422, 'bad_invite', f'{error}.') from None
  if not tokens:
    raise RefusedError(
      409, 'made_already', 'These links were made already and are shown once.'
    )
  base = ask.services.origin or str(ask.request.base_url).rstrip('/')
  made = [(name, people.link(base, token)) for name, token in tokens.items()]
  return _invites_page(ask, made)


def revoke_invite(ask: Ask) -> Response:
  """Ends a link and its sessions."""
  number = ask.number('invite')

  def command(connection: sa.Connection) -> None:
    if not browse.is_invite(connection, number):
      raise not_found()
    people.decide(connection, ask.actor, 'revoke', number, True)

  return _decided(ask, command, '/admin/invites')


def dialogues(ask: Ask) -> Response:
  """Newest conversations, those that contain a text if one is given."""
  query = ask.request.query_params.get('q', '').replace('\0', '')[:200]
  before = ask.request.query_params.get('before', '')
  is_number = before.isascii() and before.isdigit() and len(before) < 10
  with ask.services.database.reading() as connection:
    rows = browse.conversations(
      connection,
      text=query,
      before=int(before) if is_number else None,
      limit=browse.PAGE + 1,
    )
  more = ''
  if len(rows) > browse.PAGE:
    rows = rows[: browse.PAGE]
    more = urllib.parse.urlencode({'q': query, 'before': rows[-1]['id']})
  return ask.page('admin/dialogues.html', rows=rows, query=query, more=more)


def dialogue(ask: Ask) -> Response:
  """One conversation with the names of the models."""
  number = ask.number('conversation')
  with ask.services.database.reading() as connection:
    rows = browse.conversations(connection, conversation=number)
    if not rows:
      raise not_found()
    shown = _dialogue(connection, rows[0])
    names = browse.snapshot_names(connection)
    reports = browse.reports(connection, number)
  return ask.page(
    'admin/dialogue.html', dialogue=shown, names=names, reports=reports
  )


def check_dialogue(ask: Ask) -> Response:
  """Keeps the result of a spot check; 'refused' is not exported."""
  number, verdict = ask.number('conversation'), ask.form().get('verdict', '')
  if verdict not in VERDICTS:
    raise RefusedError(422, 'no_verdict', f'The verdict is one of {VERDICTS}.')

  def command(connection: sa.Connection) -> None:
    if not browse.conversations(connection, conversation=number):
      raise not_found()
    people.decide(connection, ask.actor, 'check', number, verdict)

  return _decided(ask, command, f'/admin/dialogues/{number}')


def export_page(ask: Ask) -> Response:
  """The form that starts a download."""
  return ask.page('admin/export.html')


def download(ask: Ask) -> Response:
  """The files of an export in one archive, the same for the same facts."""
  form = ask.form()
  try:
    with ask.services.database.reading() as connection:
      made = export.build(
        connection,
        form.get('tranche', ''),
        float(form.get('test_fraction', '')),
      )
  except ValueError as error:
    raise RefusedError(
      422, 'no_export', f'{str(error).capitalize()}.'
    ) from None
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as archive:
    for name, data in made.items():
      archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
  name = f'{form["tranche"]}.zip'
  return Response(
    buffer.getvalue(),
    media_type='application/zip',
    headers={'content-disposition': f'attachment; filename="{name}"'},
  )


ROUTES = (
  route('GET', '/admin', overview.overview, ADMIN),
  route('GET', '/admin/workers', workers, ADMIN),
  route('GET', '/admin/workers/{worker:id}', worker, ADMIN),
  route('POST', '/admin/workers/{worker:id}/hold', hold_worker, ADMIN),
  route('GET', '/admin/models', models, ADMIN),
  route('POST', '/admin/models/{model:id}', set_model, ADMIN),
  route('GET', '/admin/invites', invites, ADMIN),
  route('POST', '/admin/invites', make_invites, ADMIN),
  route('POST', '/admin/invites/{invite:id}/revoke', revoke_invite, ADMIN),
  route('GET', '/admin/dialogues', dialogues, ADMIN),
  route('GET', '/admin/dialogues/{conversation:id}', dialogue, ADMIN),
  route(
    'POST', '/admin/dialogues/{conversation:id}/check', check_dialogue, ADMIN
  ),
  route('GET', '/admin/export', export_page, ADMIN),
  route('POST', '/admin/export', download, ADMIN),
)
