"""The two references are one text in two languages: what stands in one stands in the other, in the same order."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from reference import in_flax, in_torch
from reference.names import expected_parameters
from tests.conftest import ROOT
from tests.reference import bart_samples as samples

TORCH, FLAX = ROOT / "reference" / "in_torch", ROOT / "reference" / "in_flax"
FILES = sorted(path.name for path in TORCH.glob("*.py"))
ALONE = {
    "to_host",
    "from_host",  # NumPy has no bfloat16; JAX converts by itself
    "Buffer",  # torch has register_buffer
    "compiled",  # torch runs a method as it is written
    "outline",  # torch has a meta device
    "Table",  # PyTorch's embeddings draw values when they are made
    "differentiate",  # what is compiled must be a function of its own
    "by_canonical_name",
    "canonical_name",
    "canonical_layout",  # torch's names and layout are the canonical ones
}
FRAMEWORK_ARGUMENTS = {"rngs"}


def definitions(path: Path) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Every top-level class and function, and every method as ``Class.method``, in the order of the file."""
    found: dict[str, ast.FunctionDef | ast.ClassDef] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name in ALONE:
            continue
        found[node.name] = node
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef):
                found[f"{node.name}.{inner.name.replace('__call__', 'forward')}"] = inner
    return found


def arguments(function: ast.FunctionDef) -> list[str]:
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in FRAMEWORK_ARGUMENTS]


def variables(function: ast.FunctionDef) -> list[str]:
    """Local names and attributes of ``self`` that the body binds, in order of first binding."""
    bound = [node for node in ast.walk(function) if isinstance(getattr(node, "ctx", None), ast.Store)]
    bound.sort(key=lambda node: (node.lineno, node.col_offset))
    names = [
        node.id if isinstance(node, ast.Name) else f".{node.attr}"
        for node in bound
        if hasattr(node, "id") or hasattr(node, "attr")
    ]
    return list(dict.fromkeys(names))


def test_the_files_have_the_same_names() -> None:
    assert sorted(path.name for path in FLAX.glob("*.py")) == FILES
    assert {"bart.py", "attention.py", "layers.py", "masks.py", "loading.py"} <= set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_the_first_line_names_the_peer(file: str) -> None:
    for here, there in ((TORCH, FLAX), (FLAX, TORCH)):
        assert (here / file).read_text(encoding="utf-8").splitlines()[
            0
        ] == f"# Peer reference: reference/{there.name}/{file}"


@pytest.mark.parametrize("file", FILES)
def test_classes_functions_and_arguments_are_the_same(file: str) -> None:
    ours, theirs = definitions(TORCH / file), definitions(FLAX / file)
    assert list(ours) == list(theirs)
    for name, node in ours.items():
        if isinstance(node, ast.FunctionDef):
            assert arguments(node) == arguments(theirs[name]), name


@pytest.mark.parametrize("file", [file for file in FILES if file != "loading.py"])
def test_variables_have_the_same_names(file: str) -> None:
    """All but loading, which is about each framework's own containers; names one side lacks are named there."""
    framework = {
        "LayerNorm.__init__": {".weight", ".scale"},
        "TokenEmbedding.__init__": {".embedding"},
        "LearnedPositions.__init__": {".embedding"},
        "LearnedPositions.forward": {"positions"},
        "BartForConditionalGeneration.__init__": {".final_logits_bias"},
        "StoredNorm.__init__": {".mean", ".variance"},
        "attend_sdpa": {"by_position", "array"},
        "mean": {"d_model", "shares"},
        "FastModel.__init__": {"layers", "layer", ".layers"},
        "FastDecoder.start": {"empty"},
        "written_in_place": {"written"},
        "PackedLinear.forward": {"found"},
    }
    ours, theirs = definitions(TORCH / file), definitions(FLAX / file)
    for name, node in ours.items():
        if isinstance(node, ast.FunctionDef):
            left, right = ([v for v in variables(f) if v not in framework.get(name, ())] for f in (node, theirs[name]))
            assert left == right, name


def test_what_stands_alone_does_exist() -> None:
    """An exception that no longer excepts anything is taken off the list."""
    texts = "\n".join(path.read_text(encoding="utf-8") for folder in (TORCH, FLAX) for path in folder.glob("*.py"))
    defined = {
        node.name
        for node in ast.walk(ast.parse(texts.replace("from __future__ import annotations", "")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert defined >= ALONE


@pytest.mark.parametrize("name", ["odd", "untied"])
def test_parameters_have_the_canonical_names_shapes_and_values(name: str) -> None:
    """In both, and bit for bit what was loaded."""
    expected = samples.weights(name)
    assert set(expected) == set(expected_parameters(samples.config(name)))
    for package, model in (
        (in_torch, samples.torch_model(name, "float32")),
        (in_flax, samples.flax_model(name, "float32")),
    ):
        loaded = dict(package.canonical_parameters(model))
        assert set(loaded) == set(expected)
        for parameter, array in loaded.items():
            assert array.dtype == "float32"
            assert array.shape == expected[parameter].shape, parameter
            assert (array == expected[parameter]).all(), parameter


@pytest.mark.full
def test_the_reference_imports_nothing_of_transformers() -> None:
    """In a fresh process, whatever its modules import in turn."""
    code = "import sys, reference.in_torch, reference.in_flax; print([m for m in sys.modules if 'transformers' in m])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_of_the_reference_names_transformers_in_an_import() -> None:
    for path in (ROOT / "reference").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(module.split(".")[0] == "transformers" for module in modules), path
