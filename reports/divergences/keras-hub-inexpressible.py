"""keras-hub 0.32.0: a BartBackbone has no other activation than gelu, and no head of its own.

Neither is an argument of the class, so a BART with another activation or an untied head cannot be made.
"""

import importlib
import inspect
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
sys.modules["tensorflow"] = None
backbone = importlib.import_module("keras_hub").models.BartBackbone
names = list(inspect.signature(backbone).parameters)
print("arguments of BartBackbone:", ", ".join(names))
sys.exit(not {"activation", "tie_word_embeddings"} & set(names))
