"""Every family and composition, at random sizes and weights, against PyTorch transformers 4.57.6 in float64.

``python -m tests.families --examples 100`` searches; pytest asks a small pool of shapes.
"""
