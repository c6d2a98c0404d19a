"""The selftest by mutations of the library: results of each kind, resuming, and wrong names."""

from __future__ import annotations

from typing import Any

import pytest

from parity.backends.mutants.library_source import mutations
from parity.cli.main import _shard
from parity.core.errors import InputError
from parity.tools.selftest import library
from parity.tools.selftest.library import mutate_library
from parity.tools.selftest.mutation_results import LibraryScore, MutationResult
from parity.tools.selftest.mutation_runs import Drawn, Runner, with_dependencies
from parity.tools.selftest.render_library import figures, write_library
from tests.end_to_end.conftest import shared_cache

BART = "transformers.models.bart.modeling_bart"


def result(outcome: str, number: int = 0) -> MutationResult:
    about: dict[str, Any] = {"text": f"{BART}:1 f: constant: 1 → 2", "operator": "constant", "module": BART}
    if outcome == "detected":
        about |= {"distance": number if number < 5 else None}
    return MutationResult(mutation=f"{BART}-{number}", outcome=outcome, **about)


def test_scores_are_of_what_changes_an_answer_and_of_what_is_executed(tmp_path):
    outcomes = ["detected"] * 6 + ["survived"] * 2 + ["repaired"] + ["no effect"] * 4 + ["not executed"] * 3
    results = [result(outcome, number) for number, outcome in enumerate(outcomes)]
    functions, population = {BART: (3, 4)}, {BART: 90}
    found = LibraryScore(library="hf-torch", seed=5, population=population, functions=functions, results=results)
    assert found.score == 6 / 8 and found.score_of_executed == 6 / 13
    assert list(figures(found)) == [
        "6 of 16 mutations detected (seed 5)",
        "of 8 that change an answer: 75.0%",
        "of 13 whose line a case executes: 46.2%",
        "named within 1 layer or step: 33.3% of 6 detected",
        "lines that no case executes: 18.8% of the mutations",
    ]
    write_library(found, tmp_path / "table.md", "parity selftest --library hf-torch")
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"| {BART} | 3 of 4 | 90 | 16 | 6 | 2 | 1 | 4 | 3 |" in text
    assert "## No answer changes (4)" in text and f"- `{BART}-6`" in text


def test_cases_come_with_those_that_they_are_made_of():
    assert with_dependencies({"forward"}) == {"forward"}
    assert with_dependencies({"encode-decode"}) == {"encode-decode", "forward"}
    assert with_dependencies({"sample.plain"}) == {"sample.plain", "generate.single-row"}
    assert with_dependencies({"generate.bad-words"}) >= {"generate.greedy", "generate.settings"}
    assert "generate.defaults" in with_dependencies({"generate.perturbed-batch"})
    assert "save.*" in with_dependencies({"saved.hf-torch@main.safetensors.hf-torch"})


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"name": "hf-torsh"}, "no library to mutate is called hf-torsh; did you mean hf-torch"),
        ({"modules": ["transformers.models.t5"]}, "no mutated module is called"),
        ({"names": [f"{BART}-99999"]}, f"{BART}-99999: the mutations of {BART} are {BART}-0 to {BART}-"),
        ({"names": ["something"]}, "no mutated module is called"),
    ],
)
def test_a_wrong_name_is_one_line(options, cause):
    with pytest.raises(InputError, match="^" + cause):
        mutate_library(options.pop("name", "hf-torch"), **options)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(InputError, match=r"results\.jsonl: not the results of mutations"):
        mutate_library("hf-torch", names=[f"{BART}-0"], out=tmp_path / "results.jsonl")


@pytest.mark.full
def test_mutations_are_detected_or_have_no_effect_and_stored_results_are_not_repeated(tmp_path, tmp_path_factory):
    def named(before, after, function):
        return [m.name for m in mutations(BART) if (m.before, m.after, m.function) == (before, after, function)]

    wrong = named("residual + hidden_states", "residual - hidden_states", "BartDecoderLayer.forward")[0]
    # Whether a layer is dropped is drawn, with probability 0.
    silent = named("self.training", "self.config", "BartEncoder.forward")[1]
    out = tmp_path / "results.jsonl"
    cache = shared_cache(tmp_path_factory)
    found = mutate_library("hf-torch", names=[wrong, silent], out=out, cache=cache)
    outcomes = {each.mutation: each for each in found.results}
    assert outcomes[wrong].outcome == "detected"
    assert {"NUM01", "NUM04", "GEN02"} <= set(outcomes[wrong].checks)
    # The sum after the self-attention: the next tensor that a trace has.
    assert outcomes[wrong].first == "decoder.cross_attention.0"
    assert outcomes[silent].outcome == "no effect" and outcomes[silent].cases > 60
    stored = out.read_text(encoding="utf-8")
    assert mutate_library("hf-torch", names=[silent, wrong], out=out, cache=cache).count("detected") == 1
    assert out.read_text(encoding="utf-8") == stored


def test_a_larger_draw_adds_to_a_smaller_one_and_shards_divide_it(monkeypatch):
    drawn = [Drawn(each, {"bart-odd": []}) for each in mutations("textwrap")]
    monkeypatch.setattr(library, "_population", lambda *_: (drawn, {}, {}))
    ran: list[str] = []

    def results(self, checkpoint, chunk):
        ran.extend(each.mutation.name for each in chunk)
        return iter(())

    monkeypatch.setattr(Runner, "results", results)

    def names(**how):
        ran.clear()
        mutate_library("hf-torch", seed=3, **how)
        return set(ran)

    small, large = names(count=10), names(count=30)
    assert len(small) == 10 and small < large and len(large) == 30
    halves = [names(count=30, shard=(k, 2)) for k in (1, 2)]
    assert halves[0] | halves[1] == large and not halves[0] & halves[1]


@pytest.mark.parametrize("text", ["3/2", "0/2", "1", "a/b"])
def test_a_wrong_shard_is_one_line(text):
    with pytest.raises(InputError, match=f"^--shard: '{text}' is not K/N, as in 1/2$"):
        _shard(text)
    assert _shard("1/2") == (1, 2)
