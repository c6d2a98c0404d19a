"""What is run on a checkpoint: batches, operations, and what the documentation says of calls, configs and tokenizers.

May import ``core``, ``checkpoint`` and ``reference``.
"""
