"""The Flax classes of transformers, on JAX, jitted; 4.37 to 4.57."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import jax_util, layer_injection
from parity.backends.hf import common, documented
from parity.backends.hf.flax_cache import CachedDecoder, encoded_by, seen_states
from parity.backends.hf.flax_forms import call_in_form
from parity.backends.hf.flax_init import load_pretrained
from parity.backends.hf.flax_loss import LABELS, documented_loss
from parity.backends.protocol import Field, LoadReport, Reorder, Step
from parity.core.case import shift_right
from parity.core.subject import Variant
from reference.config import Config, read_config
from reference.config.tokens import only
from reference.names import HEAD, SHARED, Table, table_of


class HfFlax:
    """Loads the Flax class as a user would, with ``from_pt=True`` if there are only PyTorch files."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        common.quiet_offline_environment()
        # PyTorch files are read with PyTorch, regardless of the user's USE_TORCH.
        os.environ.update(USE_TF="0", USE_TORCH="AUTO", USE_JAX="1", USE_FLAX="1")
        jax_util.set_up(threads, device, cache)

    def release(self) -> None:
        """Clears JAX's cache of compiled functions, 26 MB for a tiny BART; the cache on disk is retained."""
        import jax

        jax.clear_caches()

    def load(
        self,
        checkpoint: Path,
        variant: Variant,
        *,
        device: str,
        dtype: str,
        model_class: str,
        route: str | None = None,
    ) -> HfFlaxModel:
        """Loads with ``dtype=``, which sets only the dtype of the computation; for half precision, casts parameters
        too.

        Raises any exception of ``from_pretrained``.

        Raises:
            ValueError: a dtype, attention or thread count is requested that the class does not support.
        """
        import jax.numpy as jnp
        import transformers

        if dtype == "float64" or variant.attention != "eager" or variant.one_thread:
            raise ValueError(f"hf-flax computes in float32, bfloat16 or float16, eager; not {dtype}, {variant}")
        flags = common.flags_of(route, checkpoint, "flax", ("pt",))
        kind = getattr(transformers, f"Flax{model_class}")
        model, notes = load_pretrained(kind, checkpoint, dtype=getattr(jnp, dtype), local_files_only=True, **flags)
        # The argument sets the dtype of the computation; parameters keep the dtype of the file until they are cast.
        cast = {"float32": model.to_fp32, "bfloat16": model.to_bf16, "float16": model.to_fp16}[dtype]
        model.params = cast(model.params)
        config = read_config(checkpoint)
        table = table_of(config, model_class)
        report = _report(model, notes, table)
        report.route, report.notes = common.route_name(flags), common.shortened(notes)
        return HfFlaxModel(model, config, table, report, variant)


SHIFTS = ("ForConditionalGeneration", "EncoderDecoderModel")
SHIFTED_WITH = ("pad_token_id", "decoder_start_token_id")
"""Suffixes of class names whose decoder input is the labels shifted right."""


class HfFlaxModel(documented.Documented):
    """One loaded model; each kind of call is compiled once per signature."""

    def __init__(self, model: Any, config: Config, table: Table, report: LoadReport, variant: Variant) -> None:
        import jax

        self._model, self._config, self._table, self._variant = model, config, table, variant
        self.class_name = type(model).__name__
        self.report, self._frozen = report, {}
        self._as_dict = jax.jit(lambda params, inputs: self._whole(params, inputs, True))
        self._as_tuple = jax.jit(lambda params, inputs: self._whole(params, inputs, False))
        self._in_two = jax.jit(self._encode_then_decode)
        self._decoder = CachedDecoder(model)
        self._loss = jax.jit(jax.value_and_grad(self._documented_loss))

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every leaf of ``model.params``, kernels transposed to PyTorch's ``[out, in]``."""
        for name, array, _ in _named(self._model.params, self._table):
            yield name, array

    def save(self, folder: Path, format: str) -> None:
        """``save_pretrained``, whose default is msgpack."""
        with common.notes_of_load():
            self._model.save_pretrained(folder, **common.save_arguments(format, "msgpack", 0))

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        compiled = self._as_tuple if as_tuple else self._as_dict
        with jax_util.precision(self._variant):
            output = compiled(self._model.params, self._arrays(inputs))
        return output if as_tuple else dict(output.items())

    def call_in_form(self, inputs: Mapping[str, np.ndarray], form: str) -> Mapping[str, Field]:
        """``parity.backends.hf.flax_forms``."""
        with jax_util.precision(self._variant):
            return call_in_form(self._model, partial(self._whole, return_dict=True), self._arrays(inputs), form)

    def call_requesting(self, inputs: Mapping[str, np.ndarray], requested: Sequence[str]) -> Mapping[str, Field]:
        """Compiled for this request only."""
        import jax

        def computed(params: Any, inputs: Mapping[str, Any]) -> Any:
            return self._model(**inputs, params=params, **dict.fromkeys(requested, True), return_dict=True)

        with jax_util.precision(self._variant):
            return dict(jax.jit(computed)(self._model.params, self._arrays(inputs)).items())

    def call_in_training(self, inputs: Mapping[str, np.ndarray], seed: int) -> Mapping[str, Field]:
        """The call with ``train=True`` and ``dropout_rng``, not compiled as a whole."""
        import jax

        options = {"output_hidden_states": True, "output_attentions": True, "return_dict": True}
        with jax_util.precision(self._variant):
            output = self._model(**self._arrays(inputs), **options, train=True, dropout_rng=jax.random.PRNGKey(seed))
        return dict(output.items())

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``model.encode`` then ``model.decode``, with fields renamed to those of the whole call."""
        with jax_util.precision(self._variant):
            return self._in_two(self._model.params, self._arrays(inputs))

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """``model.init_cache`` and ``model.decode``, compiled once for each step size.

        Raises:
            NotImplementedError: a reordered cache is requested, which the library supports only inside ``generate``.
        """
        common.no_reorder(reorder)
        with jax_util.precision(self._variant):
            # Evaluated eagerly: a generator would run in the precision context of its consumer.
            return iter(list(self._decoder.steps(self._model.params, self._arrays(inputs), sizes)))

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``model.generate``, whose output form cannot be selected; beam search names its scores ``scores``.

        An explicit None overrides the model's own setting (generation/configuration_utils.py, ``update``).
        """
        answer = self._generated(inputs, settings)
        scores = {"sequences_scores": answer.scores} if "scores" in answer else {}
        return {"sequences": answer.sequences, **scores}

    def generate_in_form(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], form: str
    ) -> Mapping[str, Field]:
        """``model.generate`` with a ``logits_processor`` of the user's that forbids ``suppress_tokens``."""
        if form != "logits_processor":
            raise KeyError(form)
        import jax.numpy as jnp
        from transformers import FlaxLogitsProcessor, FlaxLogitsProcessorList

        forbidden = jnp.array(settings["suppress_tokens"])

        class Forbids(FlaxLogitsProcessor):  # type: ignore[misc]
            # The base class has no cur_len, which generate passes.
            def __call__(self, input_ids: Any, scores: Any, cur_len: int = 0) -> Any:
                return scores.at[:, forbidden].set(-jnp.inf)

        others = {name: value for name, value in settings.items() if name != "suppress_tokens"}
        return self.generate(inputs, {**others, "logits_processor": FlaxLogitsProcessorList([Forbids()])})

    def _generated(self, inputs: Mapping[str, np.ndarray], arguments: Mapping[str, Any]) -> Any:
        """The library's own output."""
        given = self._arrays(common.source_of(inputs))
        mask = {"attention_mask": given.pop("attention_mask")} if "attention_mask" in given else {}
        # The first argument of ``generate`` is named ``input_ids``, for audio as well as tokens.
        with jax_util.precision(self._variant):
            return self._model.generate(*given.values(), **mask, **arguments)

    def sample(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], draws: int, seed: int
    ) -> Mapping[str, Field]:
        """``model.generate`` with the documented ``prng_key`` and one row for each draw: it has no
        ``num_return_sequences``, and returns no scores."""
        import jax

        rows = {name: np.repeat(array, draws, axis=0) for name, array in inputs.items()}
        fed = self._arrays({"decoder_input_ids": rows["decoder_input_ids"]})
        answer = self._generated(rows, {**settings, **fed, "prng_key": jax.random.PRNGKey(seed)})
        return {"draws": answer.sequences[:, -1]}

    def composed(self, checkpoint: Path) -> HfFlaxModel:
        """Composes halves that were saved by PyTorch classes, each converted while loading."""
        kind, flags = type(self._model), {"encoder_from_pt": True, "decoder_from_pt": True}
        with documented.halves(checkpoint) as (encoder, decoder):
            joined = kind.from_encoder_decoder_pretrained(encoder, decoder, **flags)
        return HfFlaxModel(joined, self._config, self._table, LoadReport(), self._variant)

    def generation_settings(self) -> Mapping[str, Any]:
        return common.generation_settings(self._model)

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """Gradients of the documented loss of the model's logits, because the classes accept no labels.

        With an encoder, the default decoder inputs are the labels shifted right (BART page, ``labels``). Classes whose
        decoder input is the source, and classes without an encoder, receive their inputs unchanged.
        """
        labels = {name: array for name, array in inputs.items() if name in LABELS}
        inputs = {name: array for name, array in inputs.items() if name not in LABELS}
        if self.class_name.endswith(SHIFTS) and "decoder_input_ids" not in inputs:
            pad, start = (only(getattr(self._config, name), name, "labels cannot be shifted") for name in SHIFTED_WITH)
            inputs["decoder_input_ids"] = shift_right(np.asarray(labels["labels"]), pad, start)
        with jax_util.precision(self._variant):
            loss, gradients = self._loss(self._model.params, self._arrays(inputs), jax_util.as_arrays(labels))
        found = {}
        for name, array, trained in _named(gradients, self._table):
            if trained:
                found[name] = array
        return loss, found

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """Uses flax's interception of module calls; compiled for this request only."""
        import jax

        def computed(params: Any, inputs: Mapping[str, Any], states: Mapping[str, Any]) -> dict[str, Any]:
            with layer_injection.in_linen(states):
                return self._encode_then_decode(params, inputs, states[layer_injection.MEMORY])

        with jax_util.precision(self._variant):
            return jax.jit(computed)(self._model.params, self._arrays(inputs), jax_util.as_arrays(states))

    def frozen_gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        """From now on passes ``freeze_feature_encoder=True`` in calls."""
        self._frozen = {"freeze_feature_encoder": True}
        return self.gradients(inputs)

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return jax_util.on_host(value)

    def _arrays(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Inputs under the names of the class: audio is ``inputs``, as documented on the Flax page."""
        given = jax_util.as_arrays(inputs)
        return {"inputs" if name == "input_values" else name: array for name, array in given.items()}

    def _whole(self, params: Any, inputs: Mapping[str, Any], return_dict: bool) -> Any:
        return self._model(
            **inputs, params=params, output_hidden_states=True, output_attentions=True, return_dict=return_dict
        )

    def _encode_then_decode(self, params: Any, inputs: Mapping[str, Any], memory: Any = None) -> dict[str, Any]:
        """``memory``: passed to the decoder instead of the encoder's last states."""
        options = {"params": params, "output_hidden_states": True, "output_attentions": True}
        encoded = encoded_by(self._model, inputs, **options)
        if memory is not None:
            encoded = type(encoded)(last_hidden_state=memory, hidden_states=encoded.hidden_states)
        mask = seen_states(self._model, inputs["attention_mask"], encoded.last_hidden_state)
        decoded = self._model.decode(
            inputs["decoder_input_ids"], encoded, mask, inputs.get("decoder_attention_mask"), **options
        )
        fields = {
            "logits": decoded.get("logits"),
            "last_hidden_state": decoded.get("last_hidden_state"),
            "decoder_hidden_states": decoded.hidden_states,
            "decoder_attentions": decoded.attentions,
            "cross_attentions": decoded.cross_attentions,
            "encoder_last_hidden_state": encoded.last_hidden_state,
            "encoder_hidden_states": encoded.hidden_states,
            "encoder_attentions": encoded.attentions,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _documented_loss(self, params: Any, inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        return documented_loss(self._model(**inputs, **self._frozen, params=params), labels, self._config)


def _named(params: Any, table: Table) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Canonical name, array on the host in canonical layout, and whether it is trained."""
    for raw, leaf in _leaves(params, ()):
        name, transposed, trained = common.parameter_name(raw, "flax", table)
        yield name, common.parameter(np.asarray(leaf), name, transposed, table), trained


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield "/".join((*path, key)), value


def _report(model: Any, notes: list[str], table: Table) -> LoadReport:
    """The class returns no loading info: missing and unused parameters are only in its warnings."""
    raw = [name for name, _ in _leaves(model.params, ())]
    new = common.listed(notes, "newly initialized")
    held = {common.parameter_name(name, "flax", table)[0] for name in raw}
    return LoadReport(
        missing=sorted({common.parameter_name(name, "flax", table)[0] for name in new}),
        unexpected=sorted(common.listed(notes, "were not used when")),
        # A table without a leaf of its own can only be read from the shared one.
        tied=[[group[0], *(name for name in group[1:] if name not in held)] for group in _table_names(table)],
        not_materialised=sorted(name for name, leaf in _leaves(model.params, ()) if not hasattr(leaf, "__array__")),
    )


def _table_names(table: Table) -> list[list[str]]:
    """PyTorch's names of a shared table, including BART's head whether or not the config ties it."""
    apart = [HEAD] if HEAD in table.shapes else []
    return [[*group, *(apart if group[0] == SHARED else [])] for group in table.groups]
