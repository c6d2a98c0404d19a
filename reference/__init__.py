"""BART and related architectures, implemented twice from their description, with readers for weights, configs and
tokenizers. Does not use ``transformers``."""
