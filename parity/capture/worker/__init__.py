"""What runs in a worker process: any interpreter with the standard library, numpy, safetensors and one framework.

May import ``core`` without its records, and ``backends``; nothing else of ``capture``.
"""
