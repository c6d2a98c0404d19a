"""The TensorFlow classes of transformers, run eagerly; 4.37 to 4.57."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import layer_injection
from parity.backends.hf import common, documented
from parity.backends.hf.encoder_forms import encoder_outputs
from parity.backends.hf.tensorflow_forms import generate_in_form
from parity.backends.protocol import Field, LoadReport, Reorder, Step
from parity.core.subject import Variant
from reference.config import read_config
from reference.names import HEAD, SHARED, Layout, Table, table_of

DECODER_MASK = "decoder_attention_mask"
FIRST_ARGUMENTS = ("input_ids", "attention_mask", "decoder_input_ids", DECODER_MASK)
"""The inputs that a list as the first argument starts with, in the order of every class's signature."""


class HfTf:
    """Loads the TensorFlow class as a user would, with ``from_pt=True`` if there are only PyTorch files."""

    sets_before_use = ("tensorflow.tf32",)

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        common.quiet_offline_environment()
        # USE_TORCH=1 in the user's environment would disable TensorFlow (utils/import_utils.py).
        os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", USE_TF="1", USE_TORCH="AUTO", USE_FLAX="0", USE_JAX="0")
        # The TF classes do not support Keras 3: with it they need tf-keras and this switch; with Keras 2 the switch
        # would make TensorFlow import a package that is not installed.
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        if common.version_of("keras") >= (3,):
            os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        tf.get_logger().setLevel("ERROR")

    def release(self) -> None:
        """Clears Keras's state: it retains the graphs of every model, 8 MB for a tiny BART, and numbers layer names."""
        import tensorflow as tf

        tf.keras.backend.clear_session()

    def load(
        self,
        checkpoint: Path,
        variant: Variant,
        *,
        device: str,
        dtype: str,
        model_class: str,
        route: str | None = None,
    ) -> HfTfModel:
        """Raises any exception of ``from_pretrained``.

        Raises:
            ValueError: a dtype, attention or thread count is requested that the class does not support.
        """
        import tensorflow as tf
        import transformers

        if dtype != "float32" or variant.attention != "eager" or variant.one_thread:
            raise ValueError(f"hf-tf computes in float32, eager, on the threads of its process; not {dtype}, {variant}")
        flags = common.flags_of(route, checkpoint, "tf", ("pt",))
        tf.config.experimental.enable_tensor_float_32_execution(variant.default_precision)
        with common.notes_of_load() as notes:
            model, info = getattr(transformers, f"TF{model_class}").from_pretrained(
                checkpoint, local_files_only=True, output_loading_info=True, **flags
            )
        table = table_of(read_config(checkpoint), model_class)
        report = _report(model, info, table)
        report.route = common.route_name(flags)
        report.notes = common.shortened(notes + common.loading_errors(info))
        return HfTfModel(model, table, report)


class HfTfModel(documented.Documented):
    """One loaded model."""

    def __init__(self, model: Any, table: Table, report: LoadReport) -> None:
        self._model, self._table = model, table
        self.class_name = type(model).__name__
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every variable of the model, kernels transposed to PyTorch's ``[out, in]``."""
        for variable in self._model.weights:
            name, transposed, _ = common.parameter_name(variable.name, "tf", self._table)
            yield name, common.parameter(variable.numpy(), name, transposed, self._table)

    def save(self, folder: Path, format: str) -> None:
        """``save_pretrained``, whose default is h5."""
        with common.notes_of_load():
            self._model.save_pretrained(folder, **common.save_arguments(format, "h5", 0))

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        output = self._forward(_tensors(inputs), return_dict=not as_tuple)
        return output if as_tuple else dict(output.items())

    def call_embedded(self, inputs: Mapping[str, np.ndarray], tokens: str) -> Mapping[str, Field]:
        """``inputs_embeds`` or ``decoder_inputs_embeds`` in place of the tokens, which are None: Keras refuses a call
        without the first argument."""
        import tensorflow as tf

        tensors = _tensors(inputs)
        # Of BART: classifiers have no get_encoder of their own.
        whole = getattr(self._model, "model", self._model)
        half = whole.decoder if tokens == "decoder_input_ids" else whole.encoder
        layer = half.embed_tokens if hasattr(half, "embed_tokens") else half.get_input_embeddings()
        table = layer.weight if hasattr(layer, "weight") else layer.weights[0]
        rows = tf.gather(table, tensors[tokens]) * common.embedding_scale(half.config)
        given = {**tensors, tokens: None, common.EMBEDDINGS[tokens]: rows}
        return dict(self._forward(given).items())

    def call_uncached(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        return dict(self._forward({**_tensors(inputs), "use_cache": False}).items())

    def call_requesting(self, inputs: Mapping[str, np.ndarray], requested: Sequence[str]) -> Mapping[str, Field]:
        return dict(self._model(**_tensors(inputs), **dict.fromkeys(requested, True), return_dict=True).items())

    def call_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """``model([input_ids, attention_mask])``, and the same of a tuple and a dictionary (BART page, TensorFlow); and
        with ``decoder_position_ids``."""
        tensors = _tensors(inputs)
        if form == "positions":
            return self._with_positions(tensors)
        ordered = [tensors[name] for name in FIRST_ARGUMENTS if name in tensors]
        first = {"list": ordered, "tuple": tuple(ordered), "dict": tensors}[form]
        options = {"output_hidden_states": True, "output_attentions": True, "return_dict": True}
        return dict(self._model(first, **options).items())

    def _with_positions(self, tensors: Mapping[str, Any]) -> Mapping[str, Field]:
        """A masked column before each decoder input, and positions that count from the column after it, which is then
        removed."""
        import tensorflow as tf

        shifted = {name: tf.pad(tensors[name], [[0, 0], [1, 0]]) for name in ("decoder_input_ids", DECODER_MASK)}
        counted = tf.maximum(tf.range(tf.shape(shifted[DECODER_MASK])[1]) - 1, 0)
        output = self._forward({**tensors, **shifted, "decoder_position_ids": counted[None], "use_cache": False})
        axes = {"decoder_attentions": (2, 3), "cross_attentions": (2,)}

        def without(field: str, tensor: Any) -> Any:
            cut = axes.get(field, (1,))
            return tensor[tuple(slice(1, None) if axis in cut else slice(None) for axis in range(tensor.ndim))]

        return {
            field: value if field.startswith("encoder") else tf.nest.map_structure(partial(without, field), value)
            for field, value in output.items()
        }

    def call_in_training(self, inputs: Mapping[str, np.ndarray], seed: int) -> Mapping[str, Field]:
        """The call with ``training=True``."""
        import tensorflow as tf

        tf.random.set_seed(seed)
        return dict(self._forward(_tensors(inputs), training=True).items())

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``model.get_encoder()``, then a call with ``encoder_outputs`` and None for ``input_ids``.

        Keras refuses a call without the first argument, so the library's own ``generate`` passes None too
        (transformers 4.57.6, modeling_tf_bart.py, ``prepare_inputs_for_generation``).
        """
        return self.encode_then_decode_in_form(inputs, "output")

    def encode_then_decode_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """The same, with ``encoder_outputs`` in another form (``parity.backends.hf.encoder_forms``)."""
        rest = {name: array for name, array in inputs.items() if name not in ("input_ids", "head_mask")}
        if self.class_name.endswith(common.CLASSIFIER):
            rest["input_ids"] = common.ends(inputs["input_ids"], self._model.config)
        encoded = encoder_outputs(self._encoded(_tensors(inputs)), form)
        return dict(self._forward({"input_ids": None, **_tensors(rest), "encoder_outputs": encoded}).items())

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """By the calls of the library's own layers, and ``encoder_outputs``."""
        from transformers.modeling_tf_outputs import TFBaseModelOutput

        tensors, fed = _tensors(inputs), _tensors(states)
        rest = {name: tensor for name, tensor in tensors.items() if name not in ("input_ids", "head_mask")}
        memory = TFBaseModelOutput(last_hidden_state=fed[layer_injection.MEMORY])
        with layer_injection.in_keras(_layers(self._model), fed):
            encoded = self._encoded(tensors)
            output = self._forward({"input_ids": None, **rest, "encoder_outputs": memory})
        return {**output, "encoder_hidden_states": encoded.hidden_states}

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """Runs the encoder once, then the model step by step with its output, ``past_key_values`` and ``use_cache``.

        Raises:
            NotImplementedError: ``reorder`` is given: transformers' TensorFlow models reorder a cache, as beam search
                does, only inside ``generate``.
        """
        from transformers.modeling_tf_outputs import TFBaseModelOutput

        common.no_reorder(reorder)
        tensors = _tensors(inputs)
        # The form in which the library's own ``generate`` passes it (``prepare_inputs_for_generation``).
        encoded = TFBaseModelOutput(last_hidden_state=self._encoded(tensors).last_hidden_state)
        source = {"input_ids": None, "encoder_outputs": encoded, "attention_mask": tensors["attention_mask"]}
        target, mask, cache, start = tensors["decoder_input_ids"], tensors["decoder_attention_mask"], None, 0
        for size in sizes:
            end = start + size
            fed = {"decoder_input_ids": target[:, start:end], "decoder_attention_mask": mask[:, :end]}
            output = self._forward({**source, **fed, "past_key_values": cache, "use_cache": True})
            cache, start = output.past_key_values, end
            yield Step(common.of_a_step(output), cache, [list(tensor.shape) for tensor in cache[0]])

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``model.generate``, run eagerly; without settings, only the inputs are passed and no scores are requested.

        An explicit None overrides the model's own setting (generation/configuration_utils.py, ``update``).
        """
        tensors = _tensors(common.source_of(inputs))
        return common.generated(self._model.generate(**tensors, **common.generate_arguments(settings)))

    def generate_in_form(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], form: str
    ) -> Mapping[str, Field]:
        """``parity.backends.hf.tensorflow_forms``."""
        given, arguments = _tensors(common.source_of(inputs)), common.generate_arguments(settings)
        return common.generated(generate_in_form(self._model, form, given, arguments))

    def sample(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], draws: int, seed: int
    ) -> Mapping[str, Field]:
        """``model.generate`` with ``num_return_sequences`` and the documented ``seed``."""
        tensors = _tensors(inputs)
        given = {**common.source_of(tensors), "decoder_input_ids": tensors["decoder_input_ids"]}
        arguments = {**common.generate_arguments(settings), "num_return_sequences": draws, "seed": [seed, 0]}
        return common.drawn(self._model.generate(**given, **arguments))

    def composed(self, checkpoint: Path) -> HfTfModel:
        """The documented way: composes halves saved by PyTorch classes, each converted while loading."""
        kind, flags = type(self._model), {"encoder_from_pt": True, "decoder_from_pt": True}
        with documented.halves(checkpoint) as (encoder, decoder):
            joined = kind.from_encoder_decoder_pretrained(encoder, decoder, **flags)
        joined(joined.dummy_inputs)  # Keras creates the head's variables on the first call
        return HfTfModel(joined, self._table, LoadReport())

    def generation_settings(self) -> Mapping[str, Any]:
        return common.generation_settings(self._model)

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """By ``tf.GradientTape``; the embedding's sparse gradient is made dense."""
        import tensorflow as tf

        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._forward(_tensors(inputs)).loss
            # The loss that Keras minimises: ``train_step`` averages over the axis of the returned loss.
            total = tf.reduce_mean(loss)
        found = {}
        for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
            if gradient is not None:
                name, transposed, _ = common.parameter_name(variable.name, "tf", self._table)
                array = tf.convert_to_tensor(gradient).numpy()
                found[name] = common.parameter(array, name, transposed, self._table)
        return loss, found

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        array = value.numpy()
        return (array.astype(np.float32) if value.dtype.name == "bfloat16" else array), value.dtype.name

    def _encoded(self, tensors: Mapping[str, Any]) -> Any:
        given = {name: tensors[name] for name in ("input_ids", "attention_mask", "head_mask") if name in tensors}
        # Classifiers have no get_encoder of their own.
        encoder = self._model.get_encoder() if hasattr(self._model, "get_encoder") else self._model.model.encoder
        return encoder(**given, output_hidden_states=True, output_attentions=True, return_dict=True, training=False)

    def _forward(self, tensors: dict[str, Any], *, return_dict: bool = True, training: bool = False) -> Any:
        options = {"output_hidden_states": True, "output_attentions": True, "return_dict": return_dict}
        return self._model(**tensors, **options, training=training)


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The layers of both stacks, by the names of their input states."""
    for half in documented.HALVES:
        # A half of a composition may wrap its model in an attribute named after the architecture; BART's are the
        # stacks.
        stack = getattr(model, half, None) or getattr(model.model, half)
        base = getattr(stack, getattr(stack, "base_model_prefix", ""), stack)
        stack = getattr(base, "encoder", base)
        layers = getattr(stack, "layer", None) or getattr(stack, "h", None) or stack.layers
        yield from ((f"{half}.hidden.{number}", layer) for number, layer in enumerate(layers))


def _tensors(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Integers as int32, as the library's tokenizers return for TensorFlow, others as float32."""
    import tensorflow as tf

    def kind(array: np.ndarray) -> Any:
        return tf.int32 if np.issubdtype(array.dtype, np.integer) else tf.float32

    return {name: tf.constant(array, dtype=kind(array)) for name, array in inputs.items()}


def _report(model: Any, info: dict[str, Any], table: Table) -> LoadReport:
    # A conversion reports missing parameters by PyTorch's names, a native load by TensorFlow's.
    layouts: dict[str, Layout] = {raw: "tf" if "/" in raw or ":" in raw else "torch" for raw in info["missing_keys"]}
    return LoadReport(
        missing=sorted({common.parameter_name(raw, layout, table)[0] for raw, layout in layouts.items()}),
        unexpected=sorted(info["unexpected_keys"]),
        tied=_tied(model) if hasattr(model, "model") else [],
    )


def _tied(model: Any) -> list[list[str]]:
    """The names, out of four, of BART's embedding table that share one variable, determined from the layers.

    Empty for a composition, whose tied head has no variable and therefore no name.
    """
    layers = {
        SHARED: model.model.shared,
        "model.encoder.embed_tokens.weight": model.model.encoder.embed_tokens,
        "model.decoder.embed_tokens.weight": model.model.decoder.embed_tokens,
        HEAD: model.get_output_embeddings(),
    }
    stores: dict[int, list[str]] = {}
    for name, layer in layers.items():
        if layer is not None and layer.weights:
            stores.setdefault(id(layer.weights[0]), []).append(name)
    return [names for names in stores.values() if len(names) > 1]
