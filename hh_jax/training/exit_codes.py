"""What an exit code of a script says, so that launchers know what to do."""

USAGE = 2  # the user can put it right: no traceback
UNSOUND = 3  # too many steps in a row were not finite
STOPPED = 75  # EX_TEMPFAIL: saved; run the same command again
INTERRUPTED = 130
