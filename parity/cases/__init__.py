"""What is run on a checkpoint: batches, operations, and the documented calls, configs and tokenizers.

May import ``core``, ``checkpoint`` and ``reference``.
"""
