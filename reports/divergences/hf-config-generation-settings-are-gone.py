"""transformers 5.23.0: generation settings in config.json are not attributes of the config."""

import json
import sys
import tempfile
from pathlib import Path

from transformers import BartConfig

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "config.json").write_text(json.dumps({"model_type": "bart", "num_beams": 4, "d_model": 48}))
    config = BartConfig.from_pretrained(folder)
print("d_model:", config.d_model, "num_beams:", getattr(config, "num_beams", "no attribute"))
sys.exit(not hasattr(config, "num_beams"))
