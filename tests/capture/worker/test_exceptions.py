"""An exception is the backend's answer, the machine's limit or our own bug; which, its frames say."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from parity.backends.hf.tokenizer import HfTokenizerFiles
from parity.capture.worker import exceptions
from parity.core.case import Case
from parity.core.subject import Variant
from parity.core.trace import Trace, TraceError


def caught(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def library(tmp_path):
    """A module in a site-packages folder, as a stack has it."""
    file = tmp_path / "lib" / "site-packages" / "somelib" / "model.py"
    file.parent.mkdir(parents=True)
    file.write_text("import json\n\ndef call(give):\n    return give()\n\ndef parse():\n    json.loads('{')\n")
    spec = importlib.util.spec_from_file_location("somelib_model", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_librarys_exception_is_its_own_answer(library):
    error = caught(library.parse)
    assert not exceptions.is_ours(error)
    # The deepest frame is the standard library's, which the library called.
    assert exceptions.raised(error, "call").frame.startswith("json/decoder.py:")
    divided = exceptions.raised(caught(library.call, lambda: 1 / 0), "load")
    assert (divided.type, divided.message, divided.phase) == ("ZeroDivisionError", "division by zero", "load")


def test_a_library_frame_is_named_relative_to_its_site_packages(library):
    frame = exceptions.raised(caught(library.call, None), "call").frame
    assert frame == "somelib/model.py:4 in call"


def test_a_tokenizer_that_a_library_returns_none_for_is_its_own_answer(tmp_path):
    """transformers 4.57.6 returns False where the class raised a RuntimeError, as of JSON that is nested too deeply."""

    class Kind:
        @staticmethod
        def from_pretrained(directory, **arguments):
            return False

    error = caught(HfTokenizerFiles, Kind, tmp_path)
    assert not exceptions.is_ours(error)
    assert exceptions.raised(error, "load").message == "Kind.from_pretrained returned False instead of a tokenizer"


def test_what_our_own_code_raises_is_ours():
    assert exceptions.is_ours(caught(Variant.parse, "odd"))
    assert exceptions.is_ours(caught(Case("ragged", "forward", {"input_ids": [[1], [2, 3]]}).array, "input_ids"))
    assert isinstance(caught(Trace.read, exceptions.ROOT / "nowhere"), TraceError)


def test_numpy_called_by_us_is_ours_and_called_by_a_library_is_not(library, monkeypatch):
    monkeypatch.setattr(exceptions, "OURS", exceptions.ROOT / "tests")

    def stack():
        np.stack([np.zeros(2), np.zeros(3)])

    assert exceptions.is_ours(caught(stack))
    monkeypatch.setattr(exceptions, "OURS", exceptions.ROOT / "parity")
    assert not exceptions.is_ours(caught(library.call, stack))


def test_a_name_a_library_lacks_is_the_librarys_affair():
    assert not exceptions.is_ours(ImportError("cannot import name 'TFBart'", name="transformers"))
    assert exceptions.is_ours(ImportError("no", name="parity.backends.nowhere"))


def test_long_messages_are_cut():
    assert len(exceptions.raised(ValueError("x" * 9999), "call").message) == exceptions.MESSAGE_LIMIT


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (json.JSONDecodeError("out of memory", "", 0), False),
    ],
)
def test_out_of_memory_is_told_from_other_failures(error, expected):
    assert exceptions.is_out_of_memory(error) is expected
