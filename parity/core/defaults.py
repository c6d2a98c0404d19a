"""Settings of a run where the user says nothing; of the standard library alone, so that a command's help is quick."""

SAVE_LIMIT = 8.0
"""GB that all saved copies of one checkpoint may take while a run lasts."""
