"""Every family and composition, at random sizes and weights, against PyTorch transformers 4.57.6, within tolerance.

``python -m tests.architectures --examples 100`` searches; pytest asks a few.
"""
