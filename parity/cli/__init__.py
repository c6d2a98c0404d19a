"""The command line, typer alone: each command is a few lines over ``api`` and ``tools``, and imports them when it
runs."""
