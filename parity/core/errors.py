"""What is raised about what a user gave: one kind, so that a command can tell it from a bug of ours."""

from __future__ import annotations


class GivenError(ValueError):
    """Something that was given cannot be used; the message is one line that names it and the cause, for a user."""


class OutputError(GivenError):
    """A report cannot be written; the message names the file and the cause."""
