"""A version that nobody measured: an entry carries over where all agrees, and a second fault in the cell fails."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parity.core.records import CheckpointRecord, Divergence, FileFacts, WeightFacts
from parity.core.resources import data
from parity.judge.known_issue_match import Explanation, Failure, explain, measured_errors, nearest
from parity.judge.known_issues import STEMS, Entry, entries, measured_versions
from parity.judge.results import Comparison, Finding, Result
from parity.tools.gate.baseline import read_baseline
from parity.tools.gate.known_issue_errors import BASELINE, errors_of, text_of
from tests.sample_reports import BART, subject, verdict

ROOT = Path(__file__).resolve().parents[2]
KNOWN_ISSUES = {entry.id: entry for entry in entries()}
UNMEASURED = {"4.37.2": "4.40.0", "4.57.6": "4.57.3", "5.23.0": "5.24.0", "4.8.5": "4.9.0", "0.32.0": "0.33.0"}
NOWHERE = "a.tensor.of.no.entry"


def shown(pattern: str) -> str:
    """A name that a pattern of names stands for."""
    return pattern.replace("*", "1")


def record_of(entry: Entry) -> CheckpointRecord:
    """A checkpoint whose files meet an entry's conditions."""
    config: dict[str, Any] = {}
    for name, value in {**entry.config, **dict.fromkeys(entry.unless, "another")}.items():
        half, _, field = name.rpartition(".")
        place = config.setdefault(half, {}) if half else config
        place[field] = value[0] if isinstance(value, list) else value
    format = (entry.formats or ["safetensors"])[0]
    own = {"hf-tf": "tf", "hf-flax": "flax"}.get(entry.backends[0], "pt")
    converted = "pt" if own != "pt" else "tf"
    framework = entry.written_by[0] if entry.written_by else converted if entry.converted else own
    weights = [WeightFacts(format=format, framework=framework, holds=entry.holds, lacks=entry.lacks)]
    facts = FileFacts(
        dtype=(entry.dtype or ["float32"])[0],
        files=[*entry.files, f"{STEMS[format]}{format}"],
        weights=weights,
        generation=entry.generation,
        config_fields=[shown(name) for name in entry.tensors],
    )
    given = {"pad_token_id": 1, **config, **{name: number for number, name in enumerate(entry.differ, 2)}}
    given |= {name: [2, 5] for name in entry.several}
    model_class = (entry.classes or [BART])[0]
    return CheckpointRecord(
        name="c", path="c", digest="0", config=given, documented_class=model_class, file_facts=facts
    )


def results_of(entry: Entry, check: str) -> list[Result]:
    """What an entry says is found in one of its checks: a number where the baseline has one, else a finding."""
    name = shown((entry.tensors or entry.first or ["x"])[0])
    at = dict.fromkeys(entry.only_at, 1)
    measured = measured_errors().get(entry.id, {}).get(check)
    if measured and not entry.findings:
        return [Comparison(name, measured[0] * 1e-6, 1e-6, "slice", at, slices_over=1, over_at=(at,))]
    return [Finding(False, words_of(pattern), name) for pattern in entry.findings or [""]]


EXAMPLES = (
    "Incompatible types for broadcasting: input type=int32[2] and requested type=int32[1]",
    "Exception when calling layer 'tf_bart_for_sequence_classification'\n\nIncompatible shapes: [1,2] vs. [3]",
    "tuple index out of range",
    "loss has shape [3], documented is [1]",
    "`eos_token_id` has to be a positive integer, but is [3, 13, 46]",
    "Passing input embeddings is currently not supported for BartForSequenceClassification",
    "logging.Logger method not supported for non-export cases",
    "cross_attentions has 0 elements, documented is one for each token",
    "The size of tensor a (s27) must match the size of tensor b (s27 + 1) at non-singleton dimension 3",
    "the fields are loss, logits, encoder_last_hidden_state; documented are loss, logits, past_key_values, "
    "encoder_last_hidden_state",
    "the tuple holds 14 values, the dictionary 13",
    "value 11 (encoder_hidden_states[0]) of the tuple differs from the dictionary",
    "value 3 (past_key_values[0][1]) of the tuple differs from the dictionary",
    "model.encoder.layers.0.fc1.weight in the loaded model differs from the saved values",
    "the saved files cannot be read: saved/pytorch_model.bin: the pickle refers to "
    "torch._utils._rebuild_meta_tensor_no_storage, which no weight file needs",
    "model.encoder.layers.0.fc1.weight in the loaded model has dtype bfloat16; saved was float32",
    "model.encoder.layers.0.fc1.weight in the loaded model was not saved: its values are random",
    "model.encoder.layers.0.fc1.weight is not in the loaded model",
    "model.encoder.layers.0.fc1.weight is on a meta device, without values",
    "max_length is 20, documented is 14",
    "max_length is 20 in the loaded model; before saving it was 28",
    "max_length is 20 in files saved by BartConfig of transformers 5.23.0; in the original files: 28",
    "model.shared.weight differs from the file: 9 of 9 rows (0, 1, 2 …)",
    "the library did not use model.shared.weight of the file",
    "the library did not find model.shared.weight in the file: it is filled with zeros",
    "the library did not find model.shared.weight, which is in the file",
    "model.shared.weight differs between two loads",
    "model.shared.weight is in the file but not in the model",
    "model.shared.weight is not in the model",
    "classification_head.dense.weight is not in the file, and the library does not report it: its values are random",
    "final_logits_bias differs from the file: 1 of 1 rows (0)",
    "model.shared.weight differs from the file",
    "module transformers has no attribute TFBartForCausalLM",
    "Incompatible shapes for broadcasting: (1, 1, 1, 169) and requested shape (1, 1, 36, 36)",
    "the model is in training mode",
    "94 parameters are on a meta device and have no values",
    "no parameter of the model is in the file, so that none was loaded from it",
    "Error no file named model.safetensors, or pytorch_model.bin, found in directory x.",
    "``config.do_stable_layer_norm is False`` is currently not supported.",
    "{{function_node __wrapped__StridedSlice_device}} slice index -1 of dimension 1 out of bounds.",
    "encoder.hidden.1 is as in evaluation: attention_dropout has no effect",
    "encoder.last was not returned",
    "row 0 ends after 2 tokens, min_length is 11",
    "row 0, token 2: 46, the oracle has 50; the token is forbidden",
)
"""What is found and raised, in the very words."""


def words_of(pattern: str) -> str:
    """Words that a regular expression of the list of known issues matches: an example, or its own where it says them
    plainly."""
    whole = (each for each in EXAMPLES if re.fullmatch(pattern, each))
    return next(whole, next((each for each in EXAMPLES if re.search(pattern, each)), pattern))


def failure_of(entry: Entry, check: str, versions: dict[str, str]) -> Failure:
    """A failed cell that is an entry, as far as it says what is found."""
    documented = (entry.classes or [BART])[0]
    who = subject(f"{entry.backends[0]}/{(entry.attention or ['eager'])[0]}", documented_class=documented)
    evidence: dict[str, Any] = {}
    failed = [] if entry.raises else results_of(entry, check)
    if entry.raises:
        message = words_of(entry.message)
        frame = (entry.raised_in or ["x.py in f"])[0].replace("*/", "lib/").replace(" in ", ":12 in ")
        evidence |= {"exception": entry.raises, "message": message, "frame": frame}
    if entry.dialect:
        evidence["dialects"] = [entry.dialect]
    if entry.ignored:
        evidence["ignored"] = entry.ignored[:1]
    if entry.further:
        evidence["further"] = [entry.further]
    if entry.equals:
        evidence["equals"] = [entry.equals]
    if entry.settings_lost:
        evidence["settings_held"] = {"max_length": 20}
    divergence = Divergence(tensor=shown(entry.first[0])) if entry.first else None
    judged = verdict("fail", check=check, backend=entry.backends[0], evidence=evidence, first_divergence=divergence)
    case = shown(entry.cases[0]) if entry.cases else "forward"
    return Failure(check, case, who, record_of(entry), versions, judged, failed)


def versions_of(entry: Entry, measured: bool) -> dict[str, str]:
    """Versions that an entry was measured at, or such beside them that nobody measured."""
    exact = {name: specs[-1].removeprefix("==") for name, specs in entry.versions.items()}
    name = "transformers" if "transformers" in exact else next(iter(exact))  # an engine's own version
    return exact if measured else exact | {name: UNMEASURED[exact[name]]}


CELLS = [(entry, check) for entry in entries() for check in entry.checks]
IDS = [f"{entry.id}-{check}" for entry, check in CELLS]


def only(entry: Entry, failure: Failure) -> Explanation | None:
    return explain(failure, [entry])


@pytest.mark.parametrize(("entry", "check"), CELLS, ids=IDS)
def test_a_second_fault_in_a_carried_cell_fails(entry, check):
    """At the measured version the cell is known; beside it only where a second fault shows, and it does for each."""
    assert only(entry, failure_of(entry, check, versions_of(entry, True))) == Explanation(entry)
    failure = failure_of(entry, check, versions_of(entry, False))
    found = only(entry, failure)
    assert found.entry is entry and found.carried_over.startswith("measured at ")
    for name, second in second_faults(entry, failure).items():
        worse = only(entry, second)
        assert worse is None or worse.but, f"{name} is explained by {entry.id}"


def second_faults(entry: Entry, failure: Failure) -> dict[str, Failure]:
    """The same cell with one fault more, of every kind that its evidence is about."""
    judged, found = failure.verdict, {}
    if entry.raises:
        for name, other in {
            "exception": "ZeroDivisionError",
            "message": "something else",
            "frame": "a.py:1 in b",
        }.items():
            evidence = {**judged.evidence, name: other}
            found[name] = replace(failure, verdict=judged.model_copy(update={"evidence": evidence}))
        return found
    if entry.ignored:
        return {"rule": replace(failure, verdict=judged.model_copy(update={"evidence": {"ignored": []}}))}
    if entry.dialect:
        return {"text": replace(failure, verdict=judged.model_copy(update={"evidence": {"dialects": []}}))}
    if entry.equals:
        return {"values": replace(failure, verdict=judged.model_copy(update={"evidence": {"equals": []}}))}
    elsewhere = Divergence(tensor=NOWHERE)
    first = judged.model_copy(update={"first_divergence": elsewhere})
    for result in (
        Finding(False, "something else", NOWHERE),
        Comparison(NOWHERE, 1.0, 1e-6, "slice", {}, slices_over=1),
    ):
        # A fault upstream is the first divergence, one downstream or beside is another tensor out of tolerance.
        found[f"upstream {type(result).__name__}"] = replace(failure, failed=[result, *failure.failed], verdict=first)
        found[f"beside {type(result).__name__}"] = replace(failure, failed=[*failure.failed, result])
    for compared in (result for result in failure.failed if isinstance(result, Comparison)):
        larger = replace(compared, error=compared.error * 1e4)
        found["larger"] = replace(failure, failed=[larger])
        found["within"] = replace(failure, failed=[replace(compared, error=compared.error * 1e-4)])
        if entry.only_at:
            more = replace(compared, slices_over=2, over_at=(*compared.over_at, {"rows": 7}))
            found["slice"] = replace(failure, failed=[more])
    return found


def test_where_no_attention_is_kept_its_entry_shows_in_the_state_after_it():
    """A golden keeps none. In a whole answer the same state, wrong behind a right attention, is another fault."""
    entry = KNOWN_ISSUES["hf-torch-bert-generation-masks-nothing"]
    failure = failure_of(entry, "NUM01", versions_of(entry, True))

    def first_at(tensor: str, lacking: dict[str, str]) -> Explanation | None:
        judged = failure.verdict.model_copy(update={"first_divergence": Divergence(tensor=tensor)})
        who = failure.subject.model_copy(update={"lacking": lacking})
        return only(entry, replace(failure, verdict=judged, subject=who))

    kept_none = {"attentions": "a golden keeps none"}
    assert first_at("decoder.hidden.1", kept_none) == Explanation(entry)
    assert first_at("decoder.hidden.1", {}) is None
    assert first_at("decoder.hidden.2", kept_none) is None and first_at("encoder.hidden.1", kept_none) is None


def test_what_is_computed_from_a_wrong_tensor_does_not_carry_over():
    entry = KNOWN_ISSUES["hf-torch-speech-last-layer-before-its-norm"]
    failure = failure_of(entry, "NUM01", versions_of(entry, False))
    assert not only(entry, failure).but
    follows = replace(failure, follows=frozenset({failure.failed[0].tensor}))
    assert "is computed from a wrong tensor" in only(entry, follows).but


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_an_entry_names_its_evidence(entry):
    if entry.raises:
        assert entry.message and entry.raised_in
    else:
        assert entry.first or entry.tensors or entry.dialect or entry.findings or entry.ignored


def test_the_errors_that_are_kept_are_those_of_the_baseline():
    kept = data("judge/data/known_issue_errors.json").read_text(encoding="utf-8")
    assert kept == text_of(errors_of(read_baseline(BASELINE))), (
        "python -m parity.tools.gate.known_issue_errors writes them"
    )


def test_findings_are_held_to_what_the_checks_say():
    """The words are the evidence: a check that says it otherwise has to change the list of known issues too."""
    judge = ROOT / "parity" / "judge"
    files = [*sorted((judge / "checks").glob("*.py")), judge / "judge.py", judge / "generated_text.py"]
    said = " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in files)
    for entry in (entry for entry in entries() if entry.findings):
        for pattern in entry.findings:
            plain = re.sub(r"\\.|[][(){}|+*?.:,;]|in the loaded model", "|", pattern)
            for words in (each.strip() for each in plain.split("|")):
                assert len(words.split()) < 3 or words in said, f"{entry.id}: no check says {words!r}"


@pytest.mark.parametrize(
    ("specs", "version", "near"),
    [
        (["==5.23.0"], "5.22.0", "5.23.0"),
        (["==5.23.0"], "5.24.0", "5.23.0"),
        (["==5.23.0"], "6.0.0", ""),
        (["==5.23.0"], "5.24.0.dev0", "5.23.0"),
        (["==4.57.6"], "5.0.0", ""),
        (["==4.57.6"], "4.57.5", "4.57.6"),
        (["==4.57.6"], "4.40.0", "4.57.6"),
        (["==4.37.2"], "4.40.0", "4.37.2"),
        (["==4.37.2"], "4.58.0", ""),
        (["==4.37.2", "==4.57.6"], "4.40.0", "4.37.2"),
        (["==4.57.6"], "4.37.2", ""),
        (["==4.57.6"], "4.30.0", ""),
        (["==4.57.6"], "no version", ""),
        (["==4.57.6"], "", ""),
        (["==5.23.0"], "5.23.0+local", ""),
    ],
)
def test_a_version_is_beside_a_measured_one_of_its_line(specs, version, near):
    entry = KNOWN_ISSUES["hf-torch-untied-tables-random"].model_copy(update={"versions": {"transformers": specs}})
    assert nearest(entry, {"transformers": version}, measured_versions()) == (f"measured at {near}" if near else "")


def test_every_version_of_an_entry_and_of_a_stack_is_measured():
    from parity.core.stacks import table

    pins = [dict(pin.split("==") for pin in stack.requires if "==" in pin) for stack in table().values()]
    for name, versions in measured_versions().items():
        named = {spec for entry in entries() for spec in entry.versions.get(name, [])}
        assert named <= {f"=={version}" for version in versions}
        if name == "transformers":
            assert {stack["transformers"] for stack in pins} == set(versions)
