"""Hugging Face transformers' PyTorch, TensorFlow and Flax classes, and its readers of configs and tokenizers."""
