"""Checkpoints that the libraries themselves save, in every stack, and what an audit says of each.

A healthy checkpoint must give no failure and no error, whichever class, format, dtype or version saved it. ``python -m
tests.saved_checkpoints make`` writes some 200 of them, ``python -m tests.saved_checkpoints audit`` judges them in every
stack and writes a table of what is not ``pass``. Both go on where they were interrupted.
"""
