"""Configs and tokenizers that one version of a library saved and another reads: what is lost is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from parity.core.trace import Raised, Trace
from parity.judge.checks import CHECKS
from parity.judge.results import Finding

TEXTS = ["one", "<mask> two"]
SETTINGS = {"max_length": 28, "num_beams": 4, "forced_bos_token_id": 0, "min_p": None, "suppress_tokens": None}
OWN = {"d_model": 48, "num_beams": 4, "scale_embedding": True}
TOKENS = [[0, 5, 2], [0, 9, 7, 2]]


def wrong(
    check: str, trace: Trace, newer: bool = False, case: str = "saved-x.y@main", own: Any = None
) -> list[Finding]:
    """What a check finds fault with."""
    evidence = SimpleNamespace(
        trace=trace,
        case=SimpleNamespace(name=case, settings={"texts": TEXTS}),
        saver="BartConfig of transformers 5.23.0",
        read_by_saver=own or {"read": {}, "saved": {}},
        saved_by_newer=newer,
    )
    results: list[Finding] = list(CHECKS[check].function(evidence))
    assert results, "a check that compares nothing cannot fail"
    return [result for result in results if not result.ok]


def config_trace(**after: Any) -> Trace:
    parts = {"own": OWN, "decoder": {"model_type": "gpt2", "n_head": 3}, "generation": SETTINGS}
    return Trace(facts={"before": parts, "after": {**parts, **after}})


def test_what_is_read_as_before_passes():
    assert wrong("CONF06", config_trace()) == []
    assert wrong("TOK09", Trace(facts={"before": TOKENS, "after": TOKENS})) == []


def test_a_setting_that_is_unset_has_its_default():
    unset = {**SETTINGS, "min_p": 0.0, "suppress_tokens": []}
    assert wrong("CONF06", config_trace(generation=unset)) == []


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (
            {"own": {**OWN, "num_beams": 1}},
            "num_beams is 1 in files saved by BartConfig of transformers 5.23.0; in the",
        ),
        ({"own": {"d_model": 48, "num_beams": 4}}, "scale_embedding is missing in files saved by"),
        ({"own": {**OWN, "scale_embedding": 1}}, "scale_embedding is 1 in files saved by"),
        ({"decoder": {"model_type": "gpt2"}}, "decoder.n_head is missing in"),
        ({"generation": {**SETTINGS, "forced_bos_token_id": None}}, "generation.forced_bos_token_id is None in"),
    ],
)
def test_a_field_that_is_lost_is_named_with_the_version_that_saved(after, found):
    (one,) = wrong("CONF06", config_trace(**after))
    assert one.what.startswith(found)


def test_what_the_version_that_saved_loses_itself_is_reported_there():
    own = {"read": {"own": {"num_labels": 2, "num_beams": 4}}, "saved": {"own": {"num_labels": 3, "num_beams": 4}}}
    before, after = ({"own": {"num_labels": count, "num_beams": beams}} for count, beams in ((2, 4), (3, 1)))
    found = wrong("CONF06", Trace(facts={"before": before, "after": after}), own=own)
    assert [each.tensor for each in found] == ["num_beams"]


def test_a_default_that_only_the_version_that_saved_knows_may_be_omitted():
    before = {"own": {"pruned_heads": {}, "torchscript": False, "somebody_s_own_field": 7}}
    assert wrong("CONF06", Trace(facts={"before": before, "after": before})) == []
    (one,) = wrong("CONF06", Trace(facts={"before": before, "after": {"own": {}}}))
    assert one.tensor == "somebody_s_own_field"


def test_a_text_of_other_tokens_is_found():
    (one,) = wrong("TOK09", Trace(facts={"before": TOKENS, "after": [TOKENS[0], [0, 9, 8, 2]]}))
    assert one.what.startswith("'<mask> two' gives [0, 9, 8, 2] with files saved by")


@pytest.mark.parametrize(("check", "case"), [("CONF06", "save-config"), ("TOK09", "save-tokenizer")])
def test_files_that_cannot_be_saved_are_a_failure(check, case):
    refused = Trace(raised=Raised("ValueError", "it cannot", "x.py:1 in save_pretrained", "save_config"))
    (one,) = wrong(check, refused, case=case)
    assert one.what == "saving raised ValueError: it cannot (x.py:1 in save_pretrained)"
    assert one.evidence["exception"] == "ValueError"
    assert wrong(check, Trace(facts={"files": {}}), case=case) == []


@pytest.mark.parametrize("check", ["CONF06", "TOK09"])
def test_only_an_older_version_may_refuse_and_only_with_a_clear_error(check):
    def raising(kind: str) -> Trace:
        return Trace(raised=Raised(kind, "it cannot", "x.py:1 in load", "load_config"))

    assert wrong(check, raising("OSError"))
    assert wrong(check, raising("OSError"), newer=True) == []
    assert wrong(check, raising("TypeError"), newer=True)
