"""BART written twice from its description, and what reads its weights; nothing here knows ``transformers``."""
