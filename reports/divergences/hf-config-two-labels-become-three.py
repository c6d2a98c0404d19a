"""transformers 5.23.0: a BART with two labels is saved without them, and has three after loading."""

import json
import sys
import tempfile
from pathlib import Path

from transformers import BartConfig

config = BartConfig(num_labels=2)
with tempfile.TemporaryDirectory() as folder:
    config.save_pretrained(folder)
    stored = json.loads(Path(folder, "config.json").read_text())
    loaded = BartConfig.from_pretrained(folder)
print("saved:", {name: value for name, value in stored.items() if "label" in name})
print("num_labels before saving:", config.num_labels, "after loading:", loaded.num_labels)
sys.exit(config.num_labels != loaded.num_labels)
