"""Outputs: the returned fields, their order, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.core.case import IGNORED, LABELS
from parity.core.tensors import TensorSpec
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, whole
from parity.judge.results import Finding, Result

_OUTPUT = "BART page, Seq2SeqLMOutput (FlaxSeq2SeqLMOutput, TFSeq2SeqLMOutput): fields and their shapes"

HEADS: dict[str, tuple[str, ...]] = {
    "language": ("loss", "logits"),
    "none": ("last_hidden_state",),
    "labels": ("loss", "logits"),
    "span": ("loss", "start_logits", "end_logits"),
}
"""The first fields of the output, by head."""
SHARED = (
    "decoder_hidden_states",
    "decoder_attentions",
    "cross_attentions",
    "encoder_last_hidden_state",
    "encoder_hidden_states",
    "encoder_attentions",
)
DECODER_ONLY = ("hidden_states", "attentions", "cross_attentions")
"""The last fields of the output: ``SHARED`` with an encoder, ``DECODER_ONLY`` without."""


def documented_fields(evidence: Evidence) -> list[str]:
    """The documented fields of a call with the inputs of the case, in order."""
    model_spec, inputs, lacking = evidence.model_spec, evidence.case.inputs, evidence.subject.lacking
    fields = [*HEADS[model_spec.head], "past_key_values", *(DECODER_ONLY if model_spec.decoder_only else SHARED)]
    if not LABELS & set(inputs):
        fields = [name for name in fields if name != "loss"]
    requested = evidence.case.settings.get("requested", ("output_hidden_states", "output_attentions"))
    for ending in ("hidden_states", "attentions"):
        if f"output_{ending}" not in requested:
            fields = [name for name in fields if not name.endswith(ending)]
    if evidence.case.notes.get("no_encoder"):
        fields = [name for name in fields if name != "cross_attentions"]
    if (
        "attentions" in lacking and not evidence.subject.kept
    ):  # a golden's run returned attentions, but they are not stored
        fields = [name for name in fields if not name.endswith("attentions")]
    decoder = evidence.config.get("decoder", evidence.config)
    if "cache_output" in lacking or not decoder.get("use_cache", True):
        fields.remove("past_key_values")
    return fields


@check(
    "OUT01",
    claim="exactly the documented outputs that were requested are returned, in the documented order",
    source=_OUTPUT,
    likely_cause="a flag that is not passed on, or an output class with reordered fields",
    cases=("forward", "loss"),
    requires=("hidden_states",),
    needs_oracle=False,
)
def fields_are_documented(evidence: Evidence) -> Iterator[Result]:
    """A caller that unpacks the output as a tuple depends on this order."""
    wanted = documented_fields(evidence)
    found = [fact["field"] for fact in evidence.trace.facts["fields"]]
    yield Finding(found == wanted, f"the fields are {', '.join(found)}; documented are {', '.join(wanted)}")


@check(
    "OUT02",
    claim="every output has the documented shape, and the dtype in which the model was loaded",
    source=_OUTPUT,
    likely_cause="a loss that is not a scalar, axes in another order, or a promotion to another precision",
    cases=("forward", "loss", "forward.single-row"),
    needs_oracle=False,
)
def shapes_and_dtypes(evidence: Evidence) -> Iterator[Result]:
    """Expected shapes follow from the config and the inputs. A tensor that is not documented is a failure."""
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
        yield Finding(same, f"{spec.name} is {dtype}, but the model was loaded in {evidence.subject.dtype}", spec.name)
    for name in set(trace.arrays) - {spec.name for spec in wanted}:
        yield Finding(False, f"{name} was returned, but is not documented", name)


def _shape(spec: TensorSpec, evidence: Evidence) -> tuple[int, ...]:
    model_spec, inputs = evidence.model_spec, evidence.case.inputs
    if spec.kind == "loss" and evidence.subject.class_prefix == "TF":
        # TFSeq2SeqLMOutput documents a vector over the labels that are not ignored, TFSeq2SeqSequenceClassifierOutput
        # an array of one number; PyTorch's loss is a scalar.
        return (int(np.sum(np.array(inputs["labels"]) != IGNORED)) if model_spec.head == "language" else 1,)
    stack = model_spec.encoder if spec.name.startswith("encoder") else model_spec.decoder
    sizes = {
        "batch": evidence.case.batch,
        "d_model": model_spec.decoder.d_model,
        "heads": stack.heads,
        "width": stack.d_model,
        "vocab": model_spec.vocab,
        **lengths(evidence),
    }
    sizes["memory"] = 0 if model_spec.decoder_only else model_spec.memory
    if model_spec.head == "labels":
        sizes["labels"] = model_spec.labels
    return tuple(sizes[axis] for axis in spec.axes)


def lengths(evidence: Evidence) -> dict[str, int]:
    """The lengths of the sequence axes ``src``, ``tgt`` and, with audio, ``frames``."""
    model_spec, inputs = evidence.model_spec, evidence.case.inputs
    if model_spec.decoder_only:
        source = inputs.get("encoder_hidden_states")
        return {"tgt": len(inputs["input_ids"][0]), **({"src": len(source[0])} if source else {})}
    main = len(inputs[model_spec.main_input][0])
    labels = inputs.get("labels") if model_spec.head == "language" else None
    decoder_inputs = inputs.get("decoder_input_ids") or labels
    target = len(decoder_inputs[0]) if decoder_inputs else main
    if model_spec.speech is None:
        return {"src": main, "tgt": target}
    return {"src": model_spec.frames(main), "frames": model_spec.frames(main, adapted=False), "tgt": target}


@check(
    "OUT03",
    claim="the tuple and the dictionary form of an output have the same values in the same order",
    source="main classes, ModelOutput.to_tuple; BART page, return_dict",
    likely_cause="a field missing from one form, or a code path that computes another value",
    cases=("forward.tuple",),
    requires=("tuple",),
    needs_oracle=False,
)
def tuple_equals_dict(evidence: Evidence) -> Iterator[Result]:
    """Compared by digest, element by element."""
    facts = evidence.trace.facts
    ours, theirs = facts["tuple"], facts["dict"]
    yield Finding(len(ours) == len(theirs), f"the tuple holds {len(ours)} values, the dictionary {len(theirs)}")
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        name = facts["names"][index] if index < len(facts["names"]) else str(index)
        yield Finding(one == other, f"value {index} ({name}) of the tuple differs from the dictionary", name)


@check(
    "OUT04",
    claim="each output_* argument requests its own fields alone, and changes no value",
    source="BART page, output_hidden_states and output_attentions: whether to return them; both default to False",
    likely_cause="a flag that is passed to one half only or bound to another parameter, or another path without it",
    cases=("forward.only-*",),
    depends_on=("forward",),
)
def each_request_alone(evidence: Evidence) -> Iterator[Result]:
    """Every other case requests both, so that one flag can stand for the other. The references have no such arguments
    and return every field."""
    if not evidence.subject.reference:
        yield from fields_are_documented(evidence)
    yield from evidence.between(evidence.case.name, "forward", whole, whole)
