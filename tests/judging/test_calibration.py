"""The tail that the factors are read from."""

import tomllib

import numpy as np
import pytest

from parity.calibration import Ratio, as_toml, random_config, tail_factor
from reference.config import BartConfig


@pytest.mark.parametrize("exponent", [0.1, 0.2])
def test_the_tail_of_a_power_law_is_found(exponent):
    values = np.random.default_rng(0).uniform(size=200_000) ** -exponent
    assert tail_factor(values) == pytest.approx(1e6**exponent, rel=0.15)


def test_ratios_that_are_all_alike_have_no_tail():
    assert tail_factor(np.full(1000, 0.9)) == pytest.approx(0.9)


def test_the_factors_cover_what_was_measured():
    ratios = [
        Ratio(backend, "float32", "logits", measure, value)
        for backend in ("hf-torch", "reference-flax")
        for measure in ("slice", "element")
        for value in (0.5, 0.7, 3.21)
    ]
    found = tomllib.loads(as_toml(ratios, {"date": "today"}))
    assert found["ensemble"]["k_slice"] >= 3.21 and found["twin"]["k_element"] >= 3.21
    assert found["measured"]["ratios"][0]["largest"] == 3.21


@pytest.mark.parametrize("seed", range(30))
def test_random_configs_are_legal(seed):
    BartConfig.from_dict(random_config(np.random.default_rng(seed)))
