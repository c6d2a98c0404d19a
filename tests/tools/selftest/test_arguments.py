"""The table of documented arguments: what ignoring one does, and what the table says of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from parity.backends.mutants.library_host import ignore
from parity.tools.selftest.arguments import DEFAULT, LEFT_OUT, NOT_JUDGED, TABLES, Ignored, _arguments, measure, table
from parity.tools.selftest.library import LIBRARIES
from parity.tools.selftest.mutation_results import MutationResult
from parity.tools.selftest.mutation_runs import Runner, of_operations
from tests.end_to_end.conftest import shared_cache


class Settings:
    def __init__(self, num_beams=1, length_penalty=1.0):
        self.num_beams, self.length_penalty = num_beams, length_penalty


class Toy:
    def __call__(self, input_ids, train=False):
        return input_ids, train

    def __init__(self):
        self.generation_config = Settings(num_beams=4, length_penalty=2.0)

    def forward(self, input_ids, attention_mask=None, use_cache=True, **others):
        return input_ids, attention_mask, use_cache, others

    def generate(self, **given):
        return given, self.generation_config.num_beams, self.generation_config.length_penalty


def test_an_ignored_argument_has_its_default():
    model = Toy()
    ignore(model, "forward", "use_cache")
    assert model.forward(1, 2, use_cache=False, other=3) == (1, 2, True, {"other": 3})
    assert model.forward(1, 2, False) == (1, 2, True, {})
    ignore(model, "forward", "attention_mask")
    assert model.forward(input_ids=1, attention_mask=2) == (1, None, True, {})


def test_an_ignored_argument_of_an_object_that_is_called_has_its_default():
    model, other = Toy(), Toy()
    ignore(model, "__call__", "train")
    assert model(1, train=True) == (1, False) and other(1, train=True) == (1, True)
    assert type(model).__name__ == "Toy" and isinstance(model, Toy)


def test_an_ignored_setting_of_generation_is_neither_given_nor_the_models_own():
    model = Toy()
    ignore(model, "generate", "num_beams")
    assert model.generate(num_beams=7, top_k=5) == ({"top_k": 5}, 1, 2.0)
    assert model.generation_config.num_beams == 4


def test_a_required_argument_that_is_ignored_is_missing():
    model = Toy()
    ignore(model, "forward", "input_ids")
    with pytest.raises(TypeError, match="input_ids"):
        model.forward(input_ids=1)


@pytest.mark.full
def test_every_argument_of_a_call_and_every_setting_is_in_the_table_or_left_out():
    import inspect

    import transformers

    owner = transformers.BartForConditionalGeneration
    named = {each.argument for each in _arguments(TABLES[DEFAULT], "bart-odd", "forward")}
    assert named == set(inspect.signature(owner.forward).parameters) - {"self", *LEFT_OUT}
    named = {each.argument for each in _arguments(TABLES[DEFAULT], "bart-odd", "generate")}
    settings = {name for name in transformers.GenerationConfig().to_dict() if not name.startswith("_")}
    assert settings - named <= set(LEFT_OUT)
    assert {"num_beams", "repetition_penalty", "prefix_allowed_tokens_fn"} <= named


def test_every_library_of_the_three_frameworks_has_a_table():
    assert set(TABLES) == set(LIBRARIES)


def test_the_table_says_by_what_an_argument_is_judged_or_why_it_is_not(monkeypatch):
    def result(argument, outcome, **more):
        about = {"text": "", "operator": "ignored argument", "module": "BartModel.forward"}
        return MutationResult(mutation=f"ignores.forward.{argument}", outcome=outcome, **about, **more)

    found = [
        result("attention_mask", "detected", checks=["NUM01", "NUM02", "PAD01", "MASK01"], case="forward"),
        result("cache_dir", "no effect"),
    ]
    monkeypatch.setitem(NOT_JUDGED[DEFAULT], "BartModel.forward", {"cache_dir": "no case passes it"})
    text = "\n".join(table(found))
    assert "1 of 2 arguments are judged." in text
    assert "| `attention_mask` | judged | NUM01, NUM02, PAD01 | forward |" in text
    assert "| `cache_dir` | not judged: no case passes it |  |  |" in text
    with pytest.raises(KeyError, match="inputs_embeds"):
        list(table([result("inputs_embeds", "no effect")]))


@pytest.mark.full
def test_an_ignored_mask_is_detected_and_what_no_case_gives_has_no_effect(tmp_path, tmp_path_factory):
    runner = Runner(LIBRARIES["hf-torch"], tmp_path, shared_cache(tmp_path_factory), None, None)
    faults = [Ignored("BartForConditionalGeneration", "forward", name) for name in ("head_mask", "cache_position")]
    head, position = runner.run("bart-odd", dict.fromkeys(faults, ("eager",)), of_operations("load", "forward"))
    assert (head.outcome, head.checks, head.case) == ("detected", ["HEAD01"], "forward.head-masks")
    assert position.outcome == "no effect" and position.cases > 10


@pytest.mark.full
def test_stored_results_are_not_computed_again(tmp_path, monkeypatch):
    wanted = list(_arguments(TABLES[DEFAULT], "bart-bare", "forward"))
    lines = [
        MutationResult(mutation=each.name, text=each.text, operator="", module=each.module, outcome="no effect")
        for each in wanted
    ]
    out = tmp_path / "results.jsonl"
    out.write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")
    monkeypatch.setattr(Runner, "run", SimpleNamespace)  # would raise TypeError
    assert measure(fixtures=["bart-bare"], out=out) == lines
