"""A documented recording as a model's input, read from the user's local data set cache. Nothing is fetched."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from parity.cases.catalogue import Recording
from parity.cases.inputs import InputsFileError

RATE = 16000
"""Samples per second that all supported speech encoders were trained with (``sampling_rate`` of the feature
extractor)."""
FLOOR = 1e-7
"""Added to the variance (4.37.2, feature_extraction_wav2vec2.py, ``zero_mean_unit_var_norm``)."""


def recorded(recording: Recording) -> dict[str, Any]:
    """Inputs of a call: ``input_values`` ``[1, samples]``, of mean 0 and variance 1, and their mask.

    Raises:
        InputsFileError: the ``datasets`` library is not installed, cannot decode audio, or has not cached
            this data set.
    """
    what = f"{recording.dataset}, {recording.config}, {recording.split}, row {recording.row}"
    try:
        import datasets
        import datasets.config

        with mock.patch.object(datasets.config, "HF_HUB_OFFLINE", True):
            # The declared type includes dictionaries of splits and streams; one split on disk is a table.
            rows: Any = datasets.load_dataset(recording.dataset, recording.config, split=recording.split)
        audio = rows[recording.row]["audio"]
        samples, rate = np.asarray(audio["array"], np.float64), int(audio["sampling_rate"])
    except (ImportError, OSError, ValueError, LookupError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise InputsFileError(f"{what}: cannot be read from the data set cache: {cause}") from error
    if rate != RATE or samples.ndim != 1:
        raise InputsFileError(f"{what}: is {samples.ndim}-dimensional at {rate} Hz, expected one channel at {RATE} Hz")
    values = ((samples - samples.mean()) / np.sqrt(samples.var() + FLOOR)).astype(np.float32)
    return {"input_values": [values.tolist()], "attention_mask": [[1] * len(values)]}
