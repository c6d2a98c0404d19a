"""``parity init``: the files of a repository with a checkpoint of its own."""
