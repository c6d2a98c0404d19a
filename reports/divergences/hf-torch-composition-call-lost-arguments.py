"""transformers 5.23.0, PyTorch: documented output flags of a composition are not arguments of forward."""

import inspect
import sys

from transformers import EncoderDecoderModel

documented = ["output_attentions", "output_hidden_states", "return_dict"]
lost = [name for name in documented if name not in inspect.signature(EncoderDecoderModel.forward).parameters]
print("documented, but not in the signature:", lost)
sys.exit(bool(lost))
