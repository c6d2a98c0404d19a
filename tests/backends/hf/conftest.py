"""What is read of a library's warnings is read at its default verbosity, whatever another test has set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from transformers.utils import logging


@pytest.fixture(autouse=True)
def default_verbosity() -> Iterator[None]:
    before = logging.get_verbosity()
    logging.set_verbosity_warning()
    yield
    logging.set_verbosity(before)
