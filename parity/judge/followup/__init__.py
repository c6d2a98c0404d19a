"""Cases made from what was captured: scores of texts, ends that texts reach, other settings, loading what was saved."""
