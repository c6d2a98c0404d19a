"""How fast both references generate, beside Transformers: ``python -m nox -s bench``."""
