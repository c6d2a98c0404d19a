"""A documented recording as a model's input, from the user's own cache of data sets: nothing is fetched."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from parity.cases.catalogue import Recording
from parity.cases.inputs import InputsFileError

RATE = 16000
"""Samples in a second that every speech encoder here was trained with (``sampling_rate`` of its feature extractor)."""
FLOOR = 1e-7
"""Added to the variance (4.37.2, feature_extraction_wav2vec2.py, ``zero_mean_unit_var_norm``)."""


def recorded(recording: Recording) -> dict[str, Any]:
    """Inputs of a call: ``input_values`` ``[1, samples]``, of mean 0 and variance 1, and their mask.

    Raises:
        InputsFileError: the ``datasets`` library is not installed, cannot decode audio, or never loaded these data.
    """
    what = f"{recording.dataset}, {recording.config}, {recording.split}, row {recording.row}"
    try:
        import datasets
        import datasets.config

        with mock.patch.object(datasets.config, "HF_HUB_OFFLINE", True):
            # By its type it may be of several splits, or a stream; of one split that is on disk it is a table.
            rows: Any = datasets.load_dataset(recording.dataset, recording.config, split=recording.split)
        audio = rows[recording.row]["audio"]
        samples, rate = np.asarray(audio["array"], np.float64), int(audio["sampling_rate"])
    except (ImportError, OSError, ValueError, LookupError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise InputsFileError(f"{what}: cannot be read from the cache of data sets: {cause}") from error
    if rate != RATE or samples.ndim != 1:
        raise InputsFileError(
            f"{what}: is {samples.ndim}-dimensional at {rate} Hz, a model is given one row at {RATE} Hz"
        )
    values = ((samples - samples.mean()) / np.sqrt(samples.var() + FLOOR)).astype(np.float32)
    return {"input_values": [values.tolist()], "attention_mask": [[1] * len(values)]}
