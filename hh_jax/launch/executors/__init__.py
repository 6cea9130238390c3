"""What runs the trials of a sweep: one module an engine.

Each has `Options`, whose fields are the `name=value` after the colon of
`--executor=NAME:...`, `launch`, which returns what became of the trials, and
`SEES_FILES`: whether this machine sees the folders that trials work in.
"""
