"""Claims about configs and tokenizers: they pass where a class reads the files as they are, and name what it does not.

What stands in for the library is our own readers; whether the library is right is for the audit to say.
"""

from __future__ import annotations

import copy
import json

import pytest

from parity.backends import own_files
from parity.checkpoint import inspect_checkpoint
from parity.checks import CHECKS
from parity.file_cases import documented_configs, file_cases
from parity.judge import judge
from parity.records import CheckpointRecord, Manifest, SubjectRecord, TraceRecord, write_record
from parity.resources import fixture
from parity.traces import Raised, Trace

FAMILIES = ("config", "tokenizer")
SUBJECTS = ("file", "hf-config", "hf-tokenizer-fast")
IDS = [check.id for check in CHECKS.values() if check.family in FAMILIES]


def of_config(case, raw):
    """A class that reads every field as it stands."""
    documented = documented_configs()[case.notes["class"]]
    arguments, halves = documented["arguments"], case.settings["halves"]
    own = {**arguments, **{name: raw[name] for name in case.settings["fields"] if name in raw}}
    own |= {name: own[named] for name, named in documented["common"].items()}
    read = {"own": own, **{half: dict(raw[half]) for half in halves}}
    joined = {"decoder": {"is_decoder": True, "add_cross_attention": True}, "encoder": {"is_decoder": False}}
    return {
        "class": case.notes["class"],
        "arguments": [[name, default, True] for name, default in arguments.items()],
        "bare": {"raised": "ValueError"} if halves else {"own": dict(arguments)},
        **{name: copy.deepcopy(read) for name in ("read", "saved", "json")},
        **({"joined": joined} if halves else {}),
    }  # fmt: skip


def of_tokenizer(case, ours):
    """A class that speaks the documented dialect, and cuts and pads its rows."""
    found = copy.deepcopy({name: ours[name] for name in ("roles", "size")}) | copy.deepcopy(ours["documented"])
    rows, short, pad = found["texts"]["False"], case.settings["short"], ours["roles"]["pad_token"]
    found["saved"] = [list(row["ids"]) for row in rows]
    found["short"] = {"right": [], "left": []}
    for row in rows:
        ids = row["ids"] if len(row["ids"]) <= short else [*row["ids"][: short - 1], row["ids"][-1]]
        padding, mask = [pad] * (short - len(ids)), [1] * len(ids)
        found["short"]["right"].append({"ids": ids + padding, "attention_mask": mask + [0] * len(padding)})
        found["short"]["left"].append({"ids": padding + ids, "attention_mask": [0] * len(padding) + mask})
    return found


@pytest.fixture
def verdicts(tmp_path):
    """Judges a run about one fixture whose answers are changed by ``alter``; statuses and verdicts by check."""

    def judged(name, alter=lambda facts: None, raised=None, at=None):
        path = fixture(name)
        checkpoint = inspect_checkpoint(path)
        cases = [case for case in file_cases(checkpoint.anatomy, path) if not case.notes.get("lacking")]
        records = []
        for case in cases:
            raw = {"config": own_files.configuration, "tokenize": own_files.tokenize}[case.operation]
            texts = (case.settings["texts"], case.settings["pairs"]) if case.operation == "tokenize" else ()
            ours = raw(path, *texts)
            theirs = of_config(case, ours["raw"]) if case.operation == "config" else of_tokenizer(case, ours)
            answers = {0: ours, SUBJECTS.index("hf-config") if case.operation == "config" else 2: theirs}
            for index, facts in answers.items():
                if (SUBJECTS[index], case.name) == at or (at is None and index):
                    alter(facts)
                broken = raised if (SUBJECTS[index], case.name) == at else None
                Trace(facts=json.loads(json.dumps(facts)), raised=broken).write(tmp_path / f"{index}.{case.name}.st")
                records.append(TraceRecord(
                    checkpoint=name, subject=index, case=case.name, outcome="captured", path=f"{index}.{case.name}.st"
                ))  # fmt: skip
        subjects = [
            SubjectRecord(
                backend=backend, variant="eager", stack="main", device="cpu", dtype="float32", label=backend,
                role="file" if backend == "file" else "candidate", model_class="X", environment="main",
                about={"hf-config": "config", "hf-tokenizer-fast": "tokenizer"}.get(backend, "model"),
                documented_class=checkpoint.model_class, families=list(checkpoint.anatomy.families),
                capabilities=["config", "tokenize", "offsets"],
            )
            for backend in SUBJECTS
        ]  # fmt: skip
        record = CheckpointRecord(
            name=name, path=name, digest="0", config=checkpoint.config, documented_class=checkpoint.model_class
        )
        manifest = Manifest(
            parity_version="0", command=["test"], started="2026-11-25T00:00:00+00:00", checkpoints=[record],
            environments={"main": {"versions": {"transformers": "0.1"}}}, subjects=subjects,
            cases={name: [case.to_json() for case in cases]}, traces=records,
        )  # fmt: skip
        write_record(manifest, tmp_path / "manifest.json")
        return {verdict.check: verdict for verdict in judge(tmp_path, checks=[*FAMILIES]).verdicts}

    return judged


@pytest.mark.parametrize(("name", "apart"), [("bart-tiny", {"CONF05"}), ("bert2bert", {"CONF02", "CONF04"})])
def test_who_reads_the_files_as_they_are_passes(verdicts, name, apart):
    found = verdicts(name)
    assert {verdict.status for verdict in found.values()} == {"pass"}
    asked = set(IDS) - apart
    assert set(found) == (asked if name == "bart-tiny" else {i for i in asked if i.startswith("CONF")})


def put(*path, value):
    """Replaces what stands at a path."""

    def change(facts):
        place = facts
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


CONFIG, TOKENS = ("hf-config", "config"), ("hf-tokenizer-fast", "tokenize")
FAULTS = [
    ("CONF01", "bart-tiny", CONFIG, put("read", "own", "d_model", value=49), "d_model"),
    ("CONF01", "bart-tiny", CONFIG, lambda facts: facts["read"]["own"].pop("num_beams"), "num_beams"),
    ("CONF01", "bert2bert", CONFIG, put("read", "decoder", "vocab_size", value=2), "decoder.vocab_size"),
    ("CONF02", "bart-tiny", CONFIG, put("bare", "own", "dropout", value=0.0), "dropout"),
    ("CONF02", "bart-tiny", CONFIG, lambda facts: facts["arguments"].reverse(), "arguments"),
    ("CONF03", "bart-tiny", CONFIG, put("saved", "own", "scale_embedding", value=0), "scale_embedding"),
    ("CONF03", "bert2bert", CONFIG, put("json", "encoder", "model_type", value="gpt2"), "encoder.model_type"),
    ("CONF04", "bart-tiny", CONFIG, lambda facts: facts["read"]["own"].pop("hidden_size"), "hidden_size"),
    ("CONF05", "bert2bert", CONFIG, put("bare", value={"own": {}}), "bare"),
    ("CONF05", "bert2bert", CONFIG, put("joined", "decoder", "add_cross_attention", value=False),
     "decoder.add_cross_attention"),
    ("TOK01", "bart-tiny", TOKENS, put("texts", "True", 5, "ids", 1, value=3), "ids"),
    ("TOK02", "bart-tiny", TOKENS, put("texts", "False", 5, "special_tokens_mask", 0, value=0), "special_tokens_mask"),
    ("TOK03", "bart-tiny", TOKENS, lambda facts: facts["pairs"][2]["ids"].pop(), "ids"),
    ("TOK04", "bart-tiny", TOKENS, put("decoded", 4, "skipped", value="!"), "skipped"),
    ("TOK05", "bart-tiny", TOKENS, put("texts", "False", 4, "offsets", 1, value=[0, 0]), "offsets"),
    ("TOK06", "bart-tiny", TOKENS, put("short", "left", 3, "attention_mask", 0, value=1), "attention_mask"),
    ("TOK07", "bart-tiny", TOKENS, lambda facts: facts["saved"][7].pop(0), "ids"),
    ("TOK08", "bart-tiny", TOKENS, put("roles", "pad_token", value=2), "pad_token"),
    ("FILE02", "bart-tiny", ("file", "tokenize"), put("largest", value=487), "vocab_size"),
    ("FILE02", "bart-tiny", ("file", "tokenize"), put("roles", "eos_token", value=0), "eos_token_id"),
    ("FILE02", "bart-tiny", ("file", "tokenize"), put("model_max_length", value=1024), "model_max_length"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "name", "at", "alter", "names"), FAULTS, ids=[f"{fault[0]}-{n}" for n, fault in enumerate(FAULTS)]
)
def test_a_fault_fails_its_check_and_is_named(verdicts, check, name, at, alter, names):
    found = verdicts(name, alter, at=at)[check]
    assert found.status == "fail" and names in found.evidence["tensors"]


def test_every_one_of_these_checks_has_a_fault():
    assert {fault[0] for fault in FAULTS} == set(IDS)


def test_the_fast_class_s_own_rules_are_told_from_a_fault(verdicts):
    """What our own tokenizer gives in the fast class's dialect is that, and any other answer is not."""
    path = fixture("bart-tiny")
    case = file_cases(inspect_checkpoint(path).anatomy, path)[1]
    ours = own_files.tokenize(path, case.settings["texts"], case.settings["pairs"])
    found = verdicts("bart-tiny", lambda facts: facts.update(texts=ours["fast"]["texts"]), at=TOKENS)
    assert found["TOK01"].evidence["tensors"] == ["dialect.fast"]
    assert found["TOK05"].evidence["tensors"] == ["dialect.fast"]


def test_broken_files_are_named_and_nothing_is_held_against_them(verdicts):
    raised = Raised(type="CheckpointError", message="merges.txt: line 3 is no pair", frame="x", phase="call")
    found = verdicts("bart-tiny", raised=raised, at=("file", "tokenize"))
    assert found["FILE02"].status == "fail" and "merges.txt: line 3" in found["FILE02"].reason
    assert found["TOK01"].status == "fail" and "merges.txt: line 3" in found["TOK01"].reason
