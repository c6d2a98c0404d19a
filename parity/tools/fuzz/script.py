"""Writes a failure as a standalone script: at most 40 lines that only need the library, and exit with 1 while it
diverges.

The expected values are the oracle's numbers, written into the script; the actual values are computed by the library
from a checkpoint that the script writes first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import jinja2
import numpy as np

from parity.core.backends import find_entry
from parity.core.case import Case
from parity.core.resources import data
from parity.core.subject import Variant
from parity.tools.fuzz.executor import versions
from parity.tools.fuzz.search import Failure

LINES = 40
"""Maximum number of lines of code: without blank lines and the docstring."""
WIDTH = 116
FRAMEWORKS = {
    "torch": ("PyTorch", "torch", ""),
    "tensorflow": ("TensorFlow", "tf", 'TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3"'),
    "jax": ("Flax", "flax", 'JAX_PLATFORMS="cpu"'),
}
"""By framework its name, its name in the script, and the environment variables that it needs."""
FIELDS = {
    "encoder.hidden": "encoder_hidden_states",
    "encoder.attention": "encoder_attentions",
    "decoder.hidden": "decoder_hidden_states",
    "decoder.attention": "decoder_attentions",
    "decoder.cross_attention": "cross_attentions",
    "encoder.last": "encoder_last_hidden_state",
    "decoder.last": "last_hidden_state",
}
"""By canonical name, the documented field; a decoder-only model names its states and attentions without
``decoder_``."""


class NoScript(ValueError):
    """A failure cannot be reproduced by a script; the message is the reason."""


def script(failure: Failure) -> str:
    """The text of a script.

    Raises:
        NoScript: the backend is not a library's, the failure is ours, or no number or text reproduces it.
    """
    verdict, example, run = failure.verdict, failure.example, failure.run
    entry = find_entry(verdict.backend)
    if not entry.library:
        raise NoScript(f"{verdict.backend} is no library of its own")
    if verdict.status == "error":
        raise NoScript(f"the failure is ours: {verdict.reason}")
    name, framework, environment = FRAMEWORKS[entry.framework]
    case = run.cases[verdict.case]
    shown = _shown(failure, case, framework)
    attention = Variant.parse(verdict.variant).attention
    library = f"transformers {versions()['transformers']}, {name} ({attention} attention)"
    generation = example.generation if case.operation == "generate" else {}
    text = _template().render(
        library=library,
        said=_text(f"{verdict.claim}. Here: {verdict.reason}."),
        environment=environment,
        framework=framework,
        prefix=entry.class_prefix,
        model_class=example.model_class,
        config=_filled("config", example.config),
        generation=_filled("generation", generation) if generation else "",
        inputs=_filled("inputs", case.inputs),
        aliases=_filled("aliases", sorted(example.table.tied)),
        seed=example.seed,
        spread=example.spread,
        raised=example.raised,
        how=f', attn_implementation="{attention}"' if framework == "torch" else ", from_pt=True",
        **shown,
    )
    if lines_of(text) > LINES:
        raise NoScript(f"it takes {lines_of(text)} lines, more than {LINES}")
    return text


def lines_of(text: str) -> int:
    """Number of lines of code in a script, without its docstring and blank lines."""
    return len([line for line in text.split('"""', 2)[2].splitlines() if line.strip()])


def _shown(failure: Failure, case: Case, framework: str) -> dict[str, Any]:
    """The call of the library, the displayed value of its output, the expected value, and the condition for a
    difference."""
    tensor, verdict = _tensor(failure), failure.verdict
    if (exception := verdict.evidence.get("exception")) is not None:
        call = _call(case, framework, "sequences" if case.operation == "generate" else "logits")
        return _row(call, "what comes", "'an answer'", f"an answer and no {exception}", "0")
    index = next(
        i
        for i, subject in failure.run.subjects("candidate")
        if (subject.backend, subject.variant) == (verdict.backend, verdict.variant)
    )
    ours, truth = failure.run.captured(index, case.name), failure.run.oracle(case.name)
    if truth is None or tensor not in ours.arrays or tensor not in truth.arrays:
        raise NoScript(f"no number shows it: {verdict.reason}")
    call, found, expected = _call(case, framework, tensor), ours.arrays[tensor], truth.arrays[tensor]
    if tensor == "sequences":
        return _row(call, "the text", "found.tolist()", expected.tolist())
    if found.shape != expected.shape:
        return _row(call, f"the shape of {tensor}", "list(found.shape)", list(expected.shape))
    difference = np.nan_to_num(np.abs(found.astype(np.float64) - expected), nan=np.inf, posinf=np.inf)
    at = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    number, bound = f"{float(expected[at]):.9g}", min(1.0, float(difference[at])) / 2
    place = list(at) if at else ""
    shown = f"float(found{place or '[()]'})"
    return _row(call, f"{tensor}{place}", shown, number, f"not abs({shown} - {number}) < {bound:.2g}")


def _row(call: list[str], place: str, shown: str, expected: Any, differs: str = "") -> dict[str, Any]:
    differs = differs or f"{shown} != {expected}"
    return {"call": call, "place": place, "shown": shown, "expected": expected, "differs": differs}


def _tensor(failure: Failure) -> str:
    """The tensor that reproduces a failure: the worst one, else the first divergent one, else the text."""
    verdict = failure.verdict
    if verdict.case.startswith("generate"):
        return "sequences"
    if "worst" in verdict.evidence:
        return verdict.evidence["worst"]["tensor"]
    return verdict.first_divergence.tensor if verdict.first_divergence else ""


def _call(case: Case, framework: str, tensor: str) -> list[str]:
    """Lines that compute ``found`` with the model."""
    made = {"torch": "torch.tensor(a)", "tf": "tf.constant(a)", "flax": "np.array(a)"}[framework]
    lines = [f"given = {{n: {made} for n, a in inputs.items()}}"]
    if case.operation == "generate":
        arguments = "".join(f", {name}={value!r}" for name, value in case.settings["arguments"].items())
        end = ".sequences" if framework == "flax" else ""
        return [*lines, f"found = np.array(model.generate(**given{arguments}){end})"]
    if case.operation == "forward":
        more = ", output_hidden_states=True" + (", output_attentions=True" if "attention" in tensor else "")
        of = f"out.{_field(case, tensor)}"
        found = f"{of}.detach().numpy()" if framework == "torch" else f"np.array({of})"
        return [*lines, f"out = model(**given{more})", f"found = {found}"]
    if case.operation == "gradients" and framework == "torch":
        name = tensor.removeprefix("gradient.")
        of = "out.loss.detach()" if tensor == "loss" else f'dict(model.named_parameters())["{name}"].grad'
        return [*lines, "out = model(**given)", "out.loss.backward()", f"found = {of}.numpy()"]
    raise NoScript(f"no script is written of {case.operation}")


def _field(case: Case, tensor: str) -> str:
    """The field of the library's output: ``encoder_hidden_states[1]``."""
    whole, _, number = tensor.rpartition(".")
    if tensor in FIELDS or not number.isdigit():
        return FIELDS.get(tensor, tensor)
    field = FIELDS[whole]
    alone = "decoder_input_ids" not in case.inputs and "encoder_hidden_states" in case.inputs
    return f"{field.removeprefix('decoder_') if alone else field}[{number}]"


def _filled(name: str, value: Any) -> str:
    """An assignment of a dict or a list, in filled lines."""
    if isinstance(value, Mapping):
        parts, ends = [f"{key!r}: {each!r}" for key, each in value.items()], "{}"
    else:
        parts, ends = [repr(each) for each in value], "[]"
    words = ", ".join(parts).replace("'", '"')
    body = textwrap.indent(_wrapped([part.replace("'", '"') for part in parts]), "    ")
    whole = f"{name} = {ends[0]}{words}{ends[1]}"
    return whole if len(whole) <= WIDTH else f"{name} = {ends[0]}\n{body},\n{ends[1]}  # fmt: skip"


def _text(words: str) -> str:
    """Text for a docstring."""
    return textwrap.fill(words.replace('"', "'").replace("\\", "/"), WIDTH, break_on_hyphens=False)


def _wrapped(parts: Iterable[str]) -> str:
    """Items separated by commas, with line breaks only between items: a name stays with its value."""
    glued = ", ".join(part.replace(" ", "\0") for part in parts)
    return textwrap.fill(glued, WIDTH - 4, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(data("tools/fuzz/script.py.jinja").read_text(encoding="utf-8"))
