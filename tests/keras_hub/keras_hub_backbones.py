"""keras-hub's BERT, RoBERTa and GPT-2, asked for the states of every layer and for logits.

Nothing of ours stands between a checkpoint and the layers of ``BertBackbone``, ``RobertaBackbone`` and
``GPT2Backbone``: keras-hub 0.32.0 has its own converters (src/utils/transformers/convert_bert.py …), which make the
backbone that ``config.json`` asks for and look up, split, transpose and place every array. (``from_preset`` calls them
too, but imports sentencepiece first.) GPT-2's logits are those of ``GPT2CausalLM``. There is no converter of a head:
BERT's and RoBERTa's is a ``MaskedLMHead`` which gets its arrays here.

Witnessed: the names of all parameters, how GPT-2 fuses queries, keys and values, RoBERTa's first position that counts,
types of tokens, which norms there are, where they stand, the order of sublayers and residual sums, the scale of the
scores, heads split and joined, both forms of gelu, the causal mask, padding masks also with holes, the heads'
transform, and that they score with the table of the embeddings.

Not witnessed: other activations or epsilons (a backbone has its own), states of padding itself (RoBERTa numbers it
otherwise here), padding on the left, a type of RoBERTa's tokens, attention to an encoder, heads of their own, caches,
losses, gradients, and any precision but float32. ``tests.architectures.formulas`` witnesses attention to an encoder.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.engines.keras_hub_backend import LINEAR, NORM, assign

HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
}
"""What a head's map, its normalisation and the bias of its words are called."""


class Backbone:
    """A backbone of the kind that a checkpoint's directory describes; ``read`` gives it weights."""

    def __init__(self, checkpoint: Path) -> None:
        import keras
        import keras_hub

        self.config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        kind = self.config["model_type"]
        self._converter = importlib.import_module(f"keras_hub.src.utils.transformers.convert_{kind}")
        self._backbone = self._converter.backbone_cls(**self._converter.convert_backbone_config(self.config))
        layers = [self._backbone.embeddings_dropout, *self._backbone.transformer_layers]
        self._head = self._causal = None
        if kind == "gpt2":
            # The states of the last layer are those behind the norm that follows it.
            layers[-1] = self._backbone.layer_norm
            self._causal = keras_hub.models.GPT2CausalLM(self._backbone)
        else:
            self._head = head_like(self._backbone)
        self._states = keras.Model(self._backbone.input, [layer.output for layer in layers])

    def read(self, checkpoint: Path) -> None:
        """Weights from ``checkpoint/model.safetensors``; raises ValueError where one of the head's has no place."""
        from keras_hub.src.utils.transformers.safetensor_utils import SafetensorLoader

        with SafetensorLoader(str(checkpoint)) as loader:
            self._converter.convert_weights(self._backbone, loader, self.config)
            if self._head is not None:
                paths = head_paths(*HEADS[self.config["model_type"]])
                variables = {variable.path: variable for variable in self._head.weights if "mlm_head" in variable.path}
                assign(variables, {name: loader.get_tensor(name) for name in paths}, paths)

    def __call__(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray
    ) -> dict[str, np.ndarray]:
        """``hidden.0`` … and ``logits``, float32 ``[batch, length, …]``; types where the backbone has any."""
        import torch

        named = {"token_ids": input_ids, "padding_mask": attention_mask, "segment_ids": token_type_ids}
        given = {name: torch.tensor(named[name]) for name in self._backbone.input}
        with torch.no_grad():
            states = self._states(given, training=False)
            if self._causal is not None:
                logits = self._causal(given, training=False)
            else:
                everywhere = torch.arange(input_ids.shape[1]).expand(*input_ids.shape)
                logits = self._head(states[-1], everywhere)
        found = {**{f"hidden.{layer}": state for layer, state in enumerate(states)}, "logits": logits}
        return {name: value.numpy() for name, value in found.items()}


def head_like(backbone: Any) -> Any:
    """A ``MaskedLMHead`` with the activation and the epsilon that the backbone has everywhere else."""
    import keras_hub

    head = keras_hub.layers.MaskedLMHead(
        token_embedding=backbone.token_embedding,
        intermediate_activation=backbone.transformer_layers[0].activation,
        layer_norm_epsilon=backbone.embeddings_layer_norm.epsilon,
        name="mlm_head",
    )
    head.build((None, None, backbone.hidden_dim), (None, None))
    return head


def head_paths(dense: str, norm: str, bias: str) -> Mapping[str, str]:
    """The Keras variable of each of a head's parameters."""
    found = {f"{dense}.{ours}": f"mlm_head/intermediate_dense/{theirs}" for ours, theirs in LINEAR.items()}
    found |= {f"{norm}.{ours}": f"mlm_head/intermediate_layer_norm/{theirs}" for ours, theirs in NORM.items()}
    return {**found, bias: "mlm_head/output_bias"}
