"""The run-time type checker that the import hook puts on every function."""

import beartype

# An int is a float, as for static type checkers.
check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
