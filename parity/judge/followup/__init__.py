"""Follow-up cases, made from captured results: scoring texts, ends of texts, other settings, loading saved files."""
