"""A case's inputs as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from parity.core.case import Case


@pytest.mark.parametrize(
    ("name", "rows", "dtype"),
    [
        ("input_ids", [[5, 1]], np.int64),
        ("attention_mask", [[1, 0]], np.int64),
        ("labels", [[5, -100]], np.int64),
        ("labels", [[0.5, 1.0]], np.float32),
        ("head_mask", [[1, 0]], np.float32),
        ("input_values", [[0, 1]], np.float32),
    ],
)
def test_an_input_has_its_documented_dtype_however_its_numbers_are_spelled(name, rows, dtype):
    array = Case("case", "forward", {name: rows}).array(name)
    assert array.dtype == dtype and array.tolist() == rows
