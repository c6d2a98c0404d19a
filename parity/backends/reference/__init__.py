"""The two implementations of our own, and what our readers find in a checkpoint's files."""
