"""Outputs: which fields come back, in what order, of what shape and dtype."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.cases import IGNORED
from parity.checks.base import check
from parity.evidence import Evidence
from parity.results import Finding, Result
from parity.tensors import TensorSpec

_OUTPUT = "BART page, Seq2SeqLMOutput (FlaxSeq2SeqLMOutput, TFSeq2SeqLMOutput): fields and their shapes"

FIELDS = (
    ("loss", None), ("logits", None), ("past_key_values", "cache_output"), ("decoder_hidden_states", None),
    ("decoder_attentions", "attentions"), ("cross_attentions", "attentions"), ("encoder_last_hidden_state", None),
    ("encoder_hidden_states", None), ("encoder_attentions", "attentions"),
)  # fmt: skip
"""Documented fields in their documented order, and the capability each depends on."""


@check(
    "OUT01",
    claim="every documented output that was asked for comes back, in the documented order, and no other",
    source=_OUTPUT,
    usually="a flag that is not passed on, or an output class whose fields were moved",
    cases=("forward", "loss"),
    requires=("hidden_states",),
    needs_oracle=False,
)
def fields_are_documented(evidence: Evidence) -> Iterator[Result]:
    """The order is that of the tuple a caller unpacks."""
    lacking = evidence.subject.lacking
    wanted = [name for name, needs in FIELDS if needs not in lacking]
    if "labels" not in evidence.case.inputs:
        wanted.remove("loss")
    if not evidence.config.get("use_cache", True) and "past_key_values" in wanted:
        wanted.remove("past_key_values")
    found = [fact["field"] for fact in evidence.trace.facts["fields"]]
    yield Finding(found == wanted, f"the fields are {', '.join(found)}; documented are {', '.join(wanted)}")


@check(
    "OUT02",
    claim="every output has its documented shape, and the dtype that the model was loaded in",
    source=_OUTPUT,
    usually="a loss that is not a scalar, an axis moved, or a silent promotion to another precision",
    cases=("forward", "loss", "forward.alone"),
    needs_oracle=False,
)
def shapes_and_dtypes(evidence: Evidence) -> Iterator[Result]:
    """Shapes follow from the config and the inputs, not from another backend. No tensor may go unmatched."""
    trace, wanted = evidence.trace, evidence.expected_tensors()
    for spec in wanted:
        if spec.name not in trace.arrays:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        shape, expected = trace.arrays[spec.name].shape, _shape(spec, evidence)
        what = f"{spec.name} has shape {list(shape)}, documented is {list(expected)}"
        yield Finding(shape == expected, what, spec.name)
        dtype = trace.dtypes[spec.name]
        same = dtype == evidence.subject.dtype
        yield Finding(same, f"{spec.name} is {dtype}, loaded was {evidence.subject.dtype}", spec.name)
    for name in set(trace.arrays) - {spec.name for spec in wanted}:
        yield Finding(False, f"{name} came back and matches no documented tensor", name)


def _shape(spec: TensorSpec, evidence: Evidence) -> tuple[int, ...]:
    config, inputs = evidence.config, evidence.case.inputs
    target = inputs.get("decoder_input_ids") or inputs.get("labels") or inputs["input_ids"]
    part = "decoder" if spec.name.startswith("decoder") else "encoder"
    if spec.kind == "loss" and evidence.subject.model_class.startswith("TF"):
        # TFSeq2SeqLMOutput documents a vector over the labels that are not ignored; PyTorch's loss is a scalar.
        return (int(np.sum(np.array(inputs["labels"]) != IGNORED)),)
    sizes = {
        "batch": len(inputs["input_ids"]), "src": len(inputs["input_ids"][0]), "tgt": len(target[0]),
        "d_model": config["d_model"], "vocab": config["vocab_size"], "heads": config[f"{part}_attention_heads"],
    }  # fmt: skip
    return tuple(sizes[axis] for axis in spec.axes)


@check(
    "OUT03",
    claim="the tuple and the dictionary form of an output hold the same values in the same order",
    source="main classes, ModelOutput.to_tuple; BART page, return_dict",
    usually="a field that is left out of one form, or a branch that computes something else",
    cases=("forward.tuple",),
    requires=("tuple",),
    needs_oracle=False,
)
def tuple_equals_dict(evidence: Evidence) -> Iterator[Result]:
    """Compared by digest, element by element."""
    facts = evidence.trace.facts
    ours, theirs = facts["tuple"], facts["dict"]
    yield Finding(len(ours) == len(theirs), f"the tuple holds {len(ours)} values, the dictionary {len(theirs)}")
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        name = facts["names"][place] if place < len(facts["names"]) else str(place)
        yield Finding(one == other, f"value {place} ({name}) of the tuple is not the dictionary's", name)
