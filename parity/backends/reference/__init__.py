"""The two reference backends, and our own readers of a checkpoint's files."""
