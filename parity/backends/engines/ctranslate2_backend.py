"""CTranslate2 (4.8.5): a BART checkpoint converted by its ``TransformersConverter``, run by its ``Translator``.

- Logits of a teacher-forced call are those of ``translate_batch`` with the target as prefix and
  ``return_logits_vocab``: one greedy step follows each prefix token, so every position's logits over the whole
  vocabulary come from one call. Despite its description the option returns logits, not log-probabilities.
- The loss is computed from ``score_batch``, the engine's log-probabilities of the labels.
- Text is that of ``translate_batch`` with the counterparts of the documented settings. Settings without a counterpart
  are capabilities that it lacks (``parity.backends.limits.engines``). Settings that are not passed are the
  checkpoint's: a converted directory has none.
- Parameters are read from ``model.bin`` (``ctranslate2_files``).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.engines.conversion import converted
from parity.backends.engines.ctranslate2_files import CONFIG, QUANTISED, SUPPLIED, Layout, convert, parameters_of
from parity.backends.protocol import Field, LoadReport
from parity.core.backends import find_entry
from parity.core.case import IGNORED, shift_right
from parity.core.subject import Variant

ENGINE = "ctranslate2"


class CTranslate2:
    """The backend."""

    def setup(
        self,
        *,
        threads: int,
        device: str,
        cache: Path,
        given: str = "",
        digest: str = "",
        source: str = "",
        quantised: str = "",
    ) -> None:
        """
        Args:
            given: a directory of converted files; "" to convert the checkpoint.
            digest: of that directory's files; part of the trace key.
            source: the directory to convert, where that is not the audited one: its weights before rounding.
            quantised: a name of ``ctranslate2_files.QUANTISED``; "" for float32.
        """
        # The converter imports transformers, which imports every framework it finds unless told otherwise.
        os.environ.update(
            USE_TF="0", USE_JAX="0", USE_FLAX="0", HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", CT2_VERBOSE="-1"
        )
        self._threads, self._cache, self._given = threads, cache.parent, given
        self._source, self._quantised = source, quantised

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> CTranslate2Model:
        """Converts the checkpoint, or uses what an earlier call converted.

        Raises:
            ValueError, RuntimeError: as the converter and the engine raise them.
        """
        given, converts = Path(self._given) if self._given else None, Path(self._source or checkpoint)
        stored, computes = QUANTISED.get(self._quantised, (dtype, dtype))
        found = converted(
            converts,
            ENGINE,
            {"converter": "ctranslate2.converters.TransformersConverter", "quantization": stored, **SUPPLIED},
            lambda folder: convert(converts, folder, stored),
            self._cache,
            given,
            distributions=find_entry(ENGINE).distributions,
        )
        return CTranslate2Model(checkpoint, found.path, device, computes, self._threads)


class CTranslate2Model:
    """A converted directory.

    Args:
        checkpoint: whose generation settings are passed to the engine.
        directory: with ``model.bin``.
        computes: ``compute_type`` of the engine; ``float32`` converts what is stored when it loads.
    """

    class_name = "Translator"

    def __init__(self, checkpoint: Path, directory: Path, device: str, computes: str, threads: int) -> None:
        self._checkpoint, self.directory = checkpoint, directory
        self._options = {"device": device, "compute_type": computes, "inter_threads": 1, "intra_threads": threads}
        self._layout = Layout.read(directory, checkpoint)
        self.report = LoadReport(tied=self._layout.tied)
        self._translator = _translator(directory, self._options)
        self._without_start: Any = None

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        return parameters_of(self.directory, self._checkpoint)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """``logits``, and with ``labels`` the ``loss``.

        Raises:
            ValueError: a source is empty, or padded anywhere but at its end.
        """
        sources, labels = self._sources(inputs), inputs.get("labels")
        if labels is None:
            return {"logits": self._logits(sources, inputs["decoder_input_ids"])}
        shifted = shift_right(labels, self._layout.pad, self._layout.start)
        return {"loss": self._loss(sources, labels), "logits": self._logits(sources, shifted)}

    def _logits(self, sources: list[list[str]], targets: np.ndarray) -> np.ndarray:
        """float32 ``[batch, tgt, vocab]``."""
        prefixes, translator = [self._layout.words(row) for row in targets], self._translator
        if (targets[:, 0] == self._layout.engine_start).all():
            prefixes = [row[1:] for row in prefixes]
        else:
            translator = self._translator_without_start()
        results = translator.translate_batch(
            sources,
            target_prefix=prefixes,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=targets.shape[1],
            min_decoding_length=0,
            end_token=[],
            return_logits_vocab=True,
        )
        logits = [[np.array(step) for step in result.logits[0][: targets.shape[1]]] for result in results]
        return np.array(logits, np.float32)

    def _translator_without_start(self) -> Any:
        """The same model without a start token of its own: the first token of each prefix is the start token."""
        if self._without_start is None:
            held = {path.name: io.BytesIO(path.read_bytes()) for path in self.directory.iterdir() if path.is_file()}
            config = {**json.loads(held[CONFIG].getvalue()), "decoder_start_token": None}
            held[CONFIG] = io.BytesIO(json.dumps(config).encode())
            self._without_start = _translator(self.directory, {**self._options, "files": held})
        return self._without_start

    def _loss(self, sources: list[list[str]], labels: np.ndarray) -> np.ndarray:
        """The mean of the negated log-probabilities of all labels but the ignored ones; NaN if all are ignored."""
        counted = labels != IGNORED
        # An ignored label is padding where it is the next position's input.
        targets = [self._layout.words(row) for row in np.where(counted, labels, self._layout.pad)]
        scored = self._translator.score_batch(sources, targets, max_input_length=0)
        scores = np.array([result.log_probs[: labels.shape[1]] for result in scored], np.float32)
        return np.asarray(-scores[counted].mean() if counted.any() else np.nan, np.float32)

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Mapping[str, Field]:
        """``translate_batch`` with the counterparts of the settings in force.

        Raises:
            NotImplementedError: a setting in force has no counterpart.
        """
        from reference.generation import GenerationSettings
        from reference.generation.dialect import DOCUMENTED

        given = GenerationSettings.read(self._checkpoint, **settings).resolved(DOCUMENTED)
        if given.forced_eos_token_id is not None:
            raise NotImplementedError("translate_batch has no forced_eos_token_id")
        if given.further:
            raise NotImplementedError(f"translate_batch is not called with {given.further[0]}")
        forced = given.forced_bos_token_id
        prefix = None if forced is None else [self._layout.words([forced])] * len(inputs["input_ids"])
        searched = given.num_beams > 1
        results = self._translator.translate_batch(
            self._sources(inputs),
            target_prefix=prefix,
            beam_size=given.num_beams,
            length_penalty=given.length_penalty if searched else 0.0,
            no_repeat_ngram_size=given.no_repeat_ngram_size,
            max_input_length=0,
            max_decoding_length=given.max_length - 1,
            min_decoding_length=max(0, given.min_length - 1),
            end_token=self._layout.words(given.ends),
            return_end_token=True,
            return_scores=searched,
        )
        texts = [[self._layout.engine_start, *self._layout.ids(result.hypotheses[0])] for result in results]
        sequences = np.full((len(texts), max(map(len, texts))), given.fill(DOCUMENTED), np.int64)
        for row, tokens in zip(sequences, texts, strict=True):
            row[: len(tokens)] = tokens
        if not searched:
            return {"sequences": sequences}
        return {"sequences": sequences, "sequences_scores": np.array([each.scores[0] for each in results], np.float32)}

    def _sources(self, inputs: Mapping[str, np.ndarray]) -> list[list[str]]:
        ids = inputs["input_ids"]
        mask = inputs.get("attention_mask", np.ones_like(ids))
        lengths = mask.sum(axis=1)
        if (mask != (np.arange(ids.shape[1]) < lengths[:, None])).any() or not lengths.all():
            raise ValueError("attention_mask: CTranslate2 takes sources of at least one token, padded at their end")
        return [self._layout.words(row[:length]) for row, length in zip(ids, lengths, strict=True)]

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        array = np.asarray(value)
        return array, str(array.dtype)


def _translator(directory: Path, options: Mapping[str, Any]) -> Any:
    import ctranslate2

    return ctranslate2.Translator(str(directory), **options)
