"""``parity selftest``: puts each fault of ``backends.mutants`` into a model and shows which checks catch it."""
