"""Config files: `get_config(arg)` a stage; see each file's command."""
