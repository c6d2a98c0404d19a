"""Claims about configs and tokenizers: a conforming class passes each, and one altered in one place fails it by
name."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from parity.backends.reference import files
from parity.cases.files import documented_configs, file_cases
from parity.cases.tokenizer_texts import competing
from parity.checkpoint.inspection import inspect_checkpoint
from parity.checkpoint.unread_fields import tables, unread_fields
from parity.core.case import Case
from parity.core.records import SubjectRecord
from parity.core.resources import fixture
from parity.core.trace import Raised, Trace
from parity.judge.checks import CHECKS
from parity.judge.checks.config import _equal
from parity.judge.judge import judge
from reference.tokenizer import DOCUMENTED, FAST, ByteLevelTokenizer
from reference.tokenizer.added import read_added
from reference.tokenizer.vocabulary import read_merges, read_vocabulary
from tests.judge.sample_runs import cells, write_facts

Alter = Callable[[dict[str, Any]], Any]
ORACLE, FILE, CONFIG, SLOW, QUICK = range(5)
SUBJECTS = (
    ("reference-torch", "oracle", "model"),
    ("file", "file", "model"),
    ("hf-config", "candidate", "config"),
    ("hf-tokenizer", "candidate", "tokenizer"),
    ("hf-tokenizer-fast", "candidate", "tokenizer"),
)
ACROSS_STACKS = {"CONF06", "TOK09"}
"""Tested in ``test_saved_elsewhere.py``."""
OF_FILES = {id for id, check in CHECKS.items() if check.group in ("config", "tokenizer")} - ACROSS_STACKS


def config_facts(case: Case, raw: dict[str, Any]) -> dict[str, Any]:
    """What a class gives that does all that is documented."""
    documented = documented_configs()[case.notes["class"]]
    bare = documented["arguments"]
    own = {name: raw.get(name, bare.get(name)) for name in case.settings["fields"]}
    own |= {name: own[meant] for name, meant in documented["common"].items()}
    read = {"own": own, **{half: raw[half] for half in case.settings["halves"]}}
    joined = {half: dict.fromkeys(("is_decoder", "add_cross_attention"), half == "decoder") for half in read}
    return {
        "class": case.notes["class"],
        "arguments": [[name, value, True] for name, value in bare.items()],
        "without_arguments": {"own": bare} if bare else {"raised": "ValueError"},
        "joined": joined,
        **{way: copy.deepcopy(read) for way in ("read", "saved", "json")},
    }


def tokenizer_facts(case: Case, ours: dict[str, Any]) -> dict[str, Any]:
    """What a class gives that does all that is documented."""
    said, short = copy.deepcopy(ours["documented"]), case.settings["short"]
    whole = [row["ids"] for row in said["texts"]["False"]]
    sides = {
        f"{cut} {side}": [framed(ids, short, cut, side) for ids in whole]
        for cut in ("left", "right")
        for side in ("left", "right")
    }
    return {**said, "roles": ours["roles"], "size": ours["size"], "saved": copy.deepcopy(whole), "short": sides}


def framed(ids: list[int], short: int, cut: str, side: str) -> dict[str, Any]:
    while len(ids) > short:
        place = 1 if cut == "left" else len(ids) - 2
        ids = ids[:place] + ids[place + 1 :]
    fill = short - len(ids)
    rows = {"ids": ([1] * fill, ids), "attention_mask": ([0] * fill, [1] * len(ids))}
    return {name: padding + kept if side == "left" else kept + padding for name, (padding, kept) in rows.items()}


@cache
def reference_reading(name: str) -> dict[str, Any]:
    """What our own tokenizer says of a fixture's texts."""
    (case,) = (case for case in cases_of(name) if case.operation == "tokenize")
    return files.tokenize(fixture(name), case.settings["texts"], case.settings["pairs"])


def cases_of(name: str) -> list[Case]:
    return file_cases(inspect_checkpoint(fixture(name)).model_spec, fixture(name))


def judged(folder: Path, name: str, alter: dict[tuple[int, str], Alter | Raised] | None = None):
    """A report on these classes' answers about a checkpoint, one of them altered."""
    found = inspect_checkpoint(fixture(name))
    cases, traces = cases_of(name), {}
    for case in cases:
        if case.operation == "config":
            said = files.configuration(found.path)
            answers = {FILE: said, CONFIG: config_facts(case, said["raw"])}
        elif case.notes["lacking"]:
            continue
        else:
            said = reference_reading(name)
            answers = {FILE: said, SLOW: tokenizer_facts(case, said), QUICK: tokenizer_facts(case, said)}
        for index, facts in answers.items():
            change = (alter or {}).get((index, case.name))
            trace = Trace(facts={} if isinstance(change, Raised) else json.loads(json.dumps(facts)))
            if isinstance(change, Raised):
                trace.raised = change
            elif change:
                change(trace.facts)
            traces[index, case.name] = trace
    kind = {
        "documented_class": found.model_class,
        "families": list(found.model_spec.model_types),
        "environment": "main",
    }
    subjects = [
        SubjectRecord(
            backend=backend,
            variant="eager",
            stack="main",
            device="cpu",
            dtype="float32",
            role=role,
            component=component,
            label=backend,
            model_class=backend,
            capabilities=["config", "tokenize", "offsets"],
            **kind,
        )
        for backend, role, component in SUBJECTS
    ]
    write_facts(folder, found, subjects, cases, traces)
    return judge(folder, checks=["config", "tokenizer"])


def test_an_conforming_class_passes_everything(tmp_path):
    report = judged(tmp_path / "tiny", "bart-tiny")
    assert report.totals.passed == len(report.verdicts)
    composed = judged(tmp_path / "composed", "bert2gpt2")
    assert composed.totals.passed == len(composed.verdicts)
    assert {verdict.check for verdict in report.verdicts + composed.verdicts} == OF_FILES


def put(*path: Any, value: Any) -> Alter:
    """One place of the facts, altered."""

    def alter(facts: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            facts = facts[step]
        facts[last] = value

    return alter


def dropped(*path: Any) -> Alter:
    def alter(facts: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            facts = facts[step]
        del facts[last]

    return alter


def exchanged(facts: dict[str, Any]) -> None:
    facts["arguments"][:2] = facts["arguments"][1::-1]


def other_tokens(facts: dict[str, Any]) -> None:
    for row in facts["texts"]["False"]:
        row["ids"].insert(0, 2)


LONG = 8
FAULTS = [
    ("CONF01", "bart-tiny", CONFIG, put("read", "own", "d_model", value=47), "d_model is 47 after loading"),
    ("CONF01", "bart-tiny", CONFIG, put("read", "own", "use_cache", value=1), "use_cache is 1 after loading"),
    ("CONF01", "bart-tiny", CONFIG, dropped("read", "own", "num_beams"), "num_beams is missing after loading"),
    ("CONF01", "bart-tiny", CONFIG, put("class", value="MBartConfig"), "the config is a MBartConfig"),
    ("CONF01", "bert2gpt2", CONFIG, put("read", "decoder", "n_head", value=1), "n_head is 1 in the decoder"),
    ("CONF01", "bert2gpt2", CONFIG, put("read", "encoder", "model_type", value="bart"), "the encoder is a bart"),
    (
        "CONF02",
        "bart-tiny",
        CONFIG,
        put("without_arguments", "own", "dropout", value=0.2),
        "dropout is 0.2 without arguments",
    ),
    ("CONF02", "bart-tiny", CONFIG, exchanged, "argument 0 is max_position_embeddings; documented is vocab_size"),
    (
        "CONF03",
        "bart-tiny",
        CONFIG,
        dropped("saved", "own", "use_cache"),
        "use_cache is missing in own after the saved",
    ),
    ("CONF03", "bert2gpt2", CONFIG, put("json", "decoder", "n_embd", value=2), "n_embd is 2 in decoder"),
    ("CONF04", "bart-tiny", CONFIG, put("read", "own", "hidden_size", value=2), "hidden_size is 2 after loading"),
    ("CONF05", "bert2gpt2", CONFIG, put("without_arguments", value={"own": {}}), "created without halves"),
    ("CONF05", "bert2gpt2", CONFIG, put("joined", "decoder", "is_decoder", value=False), "is_decoder of the composed"),
    ("CONF05", "bert2gpt2", CONFIG, put("joined", "encoder", "is_decoder", value=True), "of the composed encoder"),
    ("TOK01", "bart-tiny", SLOW, put("texts", "True", LONG, "ids", 1, value=9), "with a prefix space gives"),
    (
        "TOK01",
        "bart-tiny",
        SLOW,
        put("texts", "False", LONG, "ids_without_special_tokens", 0, value=9),
        "ids_without_special_tokens of",
    ),
    ("TOK02", "bart-tiny", QUICK, put("texts", "False", LONG, "attention_mask", 1, value=0), "attention_mask of"),
    ("TOK03", "bart-tiny", SLOW, dropped("pairs", 3, "ids", 0), "ids of"),
    ("TOK04", "bart-tiny", SLOW, put("decoded", LONG, "decoded_without_special_tokens", value="?"), "gives '?'"),
    ("TOK04", "bart-tiny", SLOW, other_tokens, "no text has the documented tokens"),
    ("TOK05", "bart-tiny", QUICK, put("texts", "False", LONG, "offsets", 1, value=[0, 9]), "offsets of"),
    ("TOK06", "bart-tiny", SLOW, put("short", "left right", -3, "ids", 1, value=9), "truncated left and padded right"),
    ("TOK06", "bart-tiny", SLOW, put("short", "right left", 0, "attention_mask", 0, value=1), "has the mask"),
    ("TOK07", "bart-tiny", SLOW, put("saved", LONG, value=[0, 2]), "then [0, 2]"),
    ("TOK08", "bart-tiny", QUICK, put("roles", "mask_token", value=3), "mask_token is 3, not"),
    ("TOK08", "bart-tiny", QUICK, put("size", value=488), "the vocabulary has 488 tokens, not"),
    (
        "FILE02",
        "bart-tiny",
        FILE,
        put("largest_id", value=487),
        "no row in an embedding of 487 rows: <mask>",
    ),
    ("FILE02", "bart-tiny", FILE, put("roles", "pad_token", value=3), "pad_token_id is 1, but the tokenizer's"),
    ("FILE02", "bart-tiny", FILE, put("model_max_length", value="x"), "is 'x', which is not a number"),
    ("FILE02", "bart-tiny", FILE, put("largest_id", value=1), "decoder_start_token_id is 2, which is not a token"),
    ("FILE02", "bart-tiny", FILE, put("model_max_length", value=57), "but the model has 56 positions"),
    ("FILE03", "bart-tiny", FILE, put("serialised", "tokens", value=[["te", 3, 4]]), "'te' has id 3 in"),
    ("FILE03", "bart-tiny", FILE, put("serialised", "merge", value=[7, "t e", None]), "merge 7 is 't e' in"),
    ("FILE06", "bart-tiny", FILE, put("raw", "normalize_before", value=True), "normalize_before is true, but"),
    ("FILE06", "bart-tiny", FILE, put("raw", "extra_pos_embeddings", value=0), "extra_pos_embeddings is 0, but"),
    ("FILE06", "bart-tiny", FILE, put("raw", "activation", value="relu"), "is not what bart reads, which is act"),
    ("FILE06", "bart-tiny", FILE, put("raw", "no_scale_embedding", value=False), "no_scale_embedding is false, but"),
    ("FILE06", "bart-tiny", FILE, put("raw", "decoder_start_token", value=0), "which is decoder_start_token_id"),
    ("FILE06", "bert2gpt2", FILE, put("raw", "decoder", "layer_norm_eps", value=1), "decoder.layer_norm_eps is 1, but"),
    ("FILE06", "bert2gpt2", FILE, put("raw", "encoder", "activation", value="relu"), "encoder.activation is"),
    ("FILE04", "bart-tiny", FILE, put("raw", "dropout", value="0.1"), "config.json: dropout is '0.1'; documented"),
    ("FILE04", "bart-tiny", FILE, put("raw", "use_cache", value=1), "config.json: use_cache is 1; documented"),
]


IN_CONFIG = {id for id, check in CHECKS.items() if check.group == "config"}


@pytest.mark.parametrize(("check", "name", "subject", "alter", "found"), FAULTS)
def test_a_fault_is_found_by_its_check(tmp_path, check, name, subject, alter, found):
    operation = "config" if check in IN_CONFIG else "tokenize"
    report = judged(tmp_path, name, {(subject, operation): alter})
    failed = [verdict for verdict in cells(report, check, "fail") if verdict.backend == SUBJECTS[subject][0]]
    assert [found in verdict.reason for verdict in failed] == [True]
    if subject != FILE:
        assert {verdict.backend for verdict in report.verdicts if verdict.status != "pass"} == {SUBJECTS[subject][0]}


def test_every_check_of_files_has_a_fault():
    assert {fault[0] for fault in FAULTS} == OF_FILES


HARMLESS = {
    "normalize_before": False,
    "normalize_embedding": True,
    "static_position_embeddings": False,
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "extra_pos_embeddings": 2,
    "do_blenderbot_90_layernorm": False,
    "activation": None,
    "classif_dropout": 0.0,
    "output_past": True,
    "save_step": 1,
    "prefix": " ",
    "somebody_s_own_field": 7,
}
"""What summarisers of 2020 carry, and a field that nobody knows."""


def test_fields_that_nothing_reads_are_harmless_where_they_say_what_is_computed(tmp_path):
    report = judged(tmp_path, "bart-tiny", {(FILE, "config"): lambda facts: facts["raw"].update(HARMLESS)})
    assert [verdict.status for verdict in cells(report, "FILE06")] == ["pass"]


def test_what_a_field_asks_for_depends_on_the_family():
    """mBART normalises before its parts, and has one more normalisation at the end."""
    raw = {"model_type": "mbart", "normalize_before": True, "add_final_layer_norm": True, "hidden_act": "relu"}
    found = {field.name: field.harmless for field in unread_fields(raw, {**raw, "activation_function": "relu"})}
    assert found == {"normalize_before": True, "add_final_layer_norm": True, "hidden_act": True}
    bart = {**raw, "model_type": "bart"}
    found = {field.name: field.harmless for field in unread_fields(bart, {**bart, "activation_function": "gelu"})}
    assert found == dict.fromkeys(found, False) and len(found) == 3


def test_no_documented_field_stands_in_the_table_of_its_own_family():
    classes = {"bart": "BartConfig"}
    for kind, named in classes.items():
        documented = documented_configs()[named]["arguments"]
        for row in (*tables()["switch"], *tables()["name"]):
            assert kind not in row.get("computes", row.get("read")) or row["field"] not in documented, row


def test_texts_are_made_of_which_merges_compete_and_of_the_last_ones():
    merges = [("a", "b"), ("x", "y"), ("b", "c"), ("Ã", "©"), ("Ã", "y")]
    assert competing(merges, last=2) == ["abc", "é"]
    assert competing(merges, count=0, last=1) == [] and competing(merges, count=0, last=2) == ["é"]


def test_texts_tell_merges_that_change_places_from_those_in_order():
    """Of two neighbours that take the same symbol the better has it: no text of words need show which that was."""
    path, beside = fixture("bart-tiny"), 0
    vocabulary = read_vocabulary(path)
    merges = list(read_merges(path, vocabulary))
    texts = competing(merges)
    kind = ByteLevelTokenizer.read(path, False)
    told = [kind.encode(text).ids for text in texts]
    for place, (one, other) in enumerate(pairwise(merges)):
        if one[1] == other[0] or one[0] == other[1]:
            order = [*merges[:place], other, one, *merges[place + 2 :]]
            ranks = {pair: rank for rank, pair in enumerate(order)}
            changed = ByteLevelTokenizer(vocabulary, ranks, read_added(path, {}), {}, DOCUMENTED)
            assert [changed.encode(text).ids for text in texts] != told, (one, other)
            beside += 1
    assert beside


def test_a_limit_that_nobody_set_is_no_limit(tmp_path):
    report = judged(tmp_path, "bart-tiny", {(FILE, "tokenize"): put("model_max_length", value=int(1e30))})
    assert [verdict.status for verdict in cells(report, "FILE02")] == ["pass"]


def test_files_that_cannot_be_read_are_named_and_hold_nothing_against_anyone(tmp_path):
    broken = Raised("CheckpointError", "vocab.json: no such file", "")
    report = judged(tmp_path, "bart-tiny", {(FILE, "tokenize"): broken})
    reasons = {v.check: v.reason for v in report.verdicts if v.status == "fail" and v.backend != "hf-tokenizer-fast"}
    assert set(reasons) == {"FILE02", "FILE03", "TOK01", "TOK02", "TOK03", "TOK04", "TOK05", "TOK08"}
    assert all("vocab.json: no such file" in reason for reason in reasons.values())
    assert report.totals.error == 0


def test_a_difference_that_the_fast_dialect_makes_is_called_so_and_another_is_not(tmp_path):
    (case,) = (case for case in cases_of("bart-tiny") if case.operation == "tokenize")
    place = case.settings["texts"].index("\x1c<mask>")
    fast = list(ByteLevelTokenizer.read(fixture("bart-tiny"), False, FAST).encode("\x1c<mask>").ids)
    for ids, tensors in ((fast, ["dialect.fast"]), ([*fast, 2], ["ids"])):
        alter = {(QUICK, "tokenize"): put("texts", "False", place, "ids", value=ids)}
        (failed,) = cells(judged(tmp_path, "bart-tiny", alter), "TOK01", "fail")
        assert failed.evidence["tensors"] == tensors


def test_a_checkpoint_without_a_tokenizer_is_skipped_by_name(tmp_path):
    report = judged(tmp_path, "bart-odd")
    skipped = cells(report, status="skip")
    # Of a tokenizer.json that is not there nothing is claimed.
    asked = {id for id in OF_FILES - {"FILE03"} if "tokenize" in CHECKS[id].cases}
    assert {verdict.check for verdict in skipped} == asked
    assert {v.reason for v in skipped} == {"tokenizer_files: the checkpoint has no vocab.json and no merges.txt"}


def test_a_fault_of_the_files_is_shown_again_by_a_command_that_runs(tmp_path):
    report = judged(tmp_path, "bart-tiny", {(FILE, "tokenize"): put("largest_id", value=487)})
    (failed,) = cells(report, "FILE02", "fail")
    assert failed.evidence["reproduce"] == "parity audit bart-tiny --backend hf-config --check FILE02"


def test_values_of_a_config_are_compared_as_json():
    nan = float("nan")
    for value, wanted in [(1, 1.0), (nan, nan), ([1, nan], [1.0, nan]), ({"x": [nan]}, {"x": [nan]}), (None, None)]:
        assert _equal(value, wanted)
    for value, wanted in [(1, True), (nan, 1.0), (1.0, nan), ([True], [1]), ([1], [1, 1]), ({"x": 0}, {"x": False})]:
        assert not _equal(value, wanted)


def test_what_says_how_to_load_is_no_field_of_a_config(tmp_path):
    """The library takes it out while it reads (transformers 4.57.6, configuration_utils.py)."""
    place = shutil.copytree(fixture("bart-tiny"), tmp_path / "checkpoint")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "attn_implementation": "eager", "note": 1}))
    (case,) = (case for case in file_cases(inspect_checkpoint(place).model_spec, place) if case.name == "config")
    assert "note" in case.settings["fields"] and "attn_implementation" not in case.settings["fields"]
