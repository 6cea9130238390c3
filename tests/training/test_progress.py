"""Progress of work without training steps."""

import io
import logging
import sys

from hh_jax.training import progress


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_log_has_a_line_for_each_tenth(caplog, monkeypatch):
  monkeypatch.setattr(sys, 'stderr', io.StringIO())
  report = progress.reporter('sampling')
  with caplog.at_level(logging.INFO):
    for done in range(0, 41):
      report(done, 40)
  assert caplog.messages[0] == 'sampling: 4 of 40'
  assert caplog.messages[-1] == 'sampling: 40 of 40'
  assert len(caplog.messages) == 10


def test_a_terminal_has_a_bar(caplog, monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  report = progress.reporter('sampling')
  with caplog.at_level(logging.INFO):
    report(20, 40)
    report(40, 40)
  assert '40/40' in terminal.getvalue()
  assert not caplog.messages
