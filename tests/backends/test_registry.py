"""The table of backends: framework-free, complete, and open to others."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from parity.backends.capabilities import capabilities
from parity.backends.registry import get_backend
from parity.capture.worker.environment import source_files
from parity.core import backends
from parity.core.backends import BACKENDS, find_entry
from parity.core.subject import FILE, REFERENCES
from tests.backends.samples import ROOT

FRAMEWORKS = ("torch", "tensorflow", "jax", "flax", "keras", "transformers", "pydantic")


class Borrowed:
    """A third party's backend, as its package would define it."""

    class_name = "OtherBart"
    lacking: ClassVar = {"tuple": "it has no tuple form"}


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> str:
    point = EntryPoint("borrowed", f"{__name__}:Borrowed", backends.ENTRY_POINTS)
    monkeypatch.setattr(backends, "entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Borrowed.__module__])
    return "borrowed"


def test_importing_the_adapters_imports_no_framework() -> None:
    modules = ["parity.backends.capabilities", *(entry.module for entry in BACKENDS.values())]
    code = f"import sys, {', '.join(modules)}; print(sorted(set({FRAMEWORKS!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", BACKENDS)
def test_every_entry_is_a_backend(name: str) -> None:
    backend = get_backend(name)
    assert callable(backend.setup) and callable(backend.load)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"hf-torhc; did you mean hf-torch"):
        find_entry("hf-torhc")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_pattern_of_the_sources_finds_files(name: str) -> None:
    """A pattern that matches nothing guards nothing: an edited library would hit the cache."""
    for root in BACKENDS[name].sources:
        spec = importlib.util.find_spec(root.package)
        assert spec is not None and spec.submodule_search_locations
        folder = Path(next(iter(spec.submodule_search_locations)))
        for pattern in root.patterns:
            assert source_files(folder, [pattern]), pattern
        assert all(path.suffix == ".py" for path in source_files(folder, root.patterns))


def test_the_librarys_sources_hold_what_decides() -> None:
    spec = importlib.util.find_spec("transformers")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = {str(path.relative_to(folder)) for path in source_files(folder, BACKENDS["hf-tf"].sources[0].patterns)}
    assert {
        "modeling_utils.py",
        "modeling_tf_pytorch_utils.py",
        "activations.py",
        "modeling_attn_mask_utils.py",
        "models/bart/modeling_bart.py",
        "models/bart/modeling_tf_bart.py",
        "models/bart/modeling_flax_bart.py",
        "generation/utils.py",
        "integrations/sdpa_attention.py",
        "loss/loss_utils.py",
    } <= found


def test_a_third_partys_entry_point_is_a_backend(third_party: str) -> None:
    assert isinstance(get_backend(third_party), Borrowed)
    assert find_entry(third_party).sources[0].patterns == ("**/*.py",)
    can, lacking = capabilities(third_party, "eager", {})
    assert lacking.items() >= Borrowed.lacking.items() and "load" in can and "tuple" not in can
    assert find_entry(third_party).class_for("BartForConditionalGeneration") == "OtherBart"


def test_the_libraries_that_pytorch_converts_foreign_files_with_are_a_part_of_its_keys():
    """Otherwise what an environment without them raised is found again where they are installed."""
    for other in ("hf-tf", "hf-flax"):
        assert set(BACKENDS[other].distributions) <= set(BACKENDS["hf-torch"].distributions)


def test_the_oracles_peers_and_the_file_are_the_rows_that_say_so():
    """``parity.core.subject`` names them, because the oracle is one of them."""
    assert tuple(name for name, entry in BACKENDS.items() if entry.reference) == REFERENCES
    assert [name for name, entry in BACKENDS.items() if entry.role == "file"] == [FILE.backend]


@pytest.mark.parametrize("name", [name for name, entry in BACKENDS.items() if entry.weights])
def test_a_library_loads_and_saves_what_its_row_says(name):
    entry = BACKENDS[name]
    able, lacking = capabilities(name, "eager", {"transformers": "4.57.6", **dict.fromkeys(entry.distributions, "1.0")})
    assert set(entry.weights.capabilities) <= {*able, *lacking} and entry.library
