"""Every check passes on a conforming backend, fails on a fault of its own kind, and names the first wrong tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from parity.core.trace import Trace
from parity.judge.checks import CHECKS
from parity.judge.judge import judge
from tests.judge.sample_runs import CANDIDATE, SUBJECTS, cells

ELSEWHERE = (
    "config",
    "tokenizer",
    "saving",
    "documented",
    "FILE05",
    "LOAD05",
    "LAYER01",
    "CALL02",
    "CALL03",
    "CALL04",
    "CALL05",
    "CALL06",
    "CALL07",
    "OUT04",
    "sampling",
    "training",
)
"""Tested in ``test_config.py``, ``test_tokenizer.py``, ``test_saving.py``, ``test_documented.py``,
``test_weight_files.py``, ``test_loading.py``, ``tests/end_to_end/test_layerwise.py`` and ``test_exhaustive.py``
there."""
OF_MODELS = {check.id for check in CHECKS.values() if not {check.id, check.group} & {*ELSEWHERE}}
Alter = Callable[[Trace], Trace]
Q_PROJ = "model.decoder.layers.1.self_attn.q_proj.weight"


def arrays(change: Callable[[dict[str, np.ndarray]], None]) -> Alter:
    def alter(trace: Trace) -> Trace:
        change(trace.arrays)
        return trace

    return alter


def facts(change: Callable[[dict], None]) -> Alter:
    def alter(trace: Trace) -> Trace:
        change(trace.facts)
        return trace

    return alter


def off(tensor: str, amount: float = 1e-4, at: tuple = ()) -> Alter:
    """One place of one tensor, and all that follows of it, wrong by ``amount``."""

    def change(found: dict[str, np.ndarray]) -> None:
        found[tensor][at or (...,)] += amount

    return arrays(change)


def wrong_bit(found: Trace) -> Trace:
    found.facts["parameters"][Q_PROJ]["digest"] = "0" * 32
    found.arrays[f"rows.{Q_PROJ}"][5] += np.uint64(1)
    return found


def dropped(name: str) -> Alter:
    return arrays(lambda found: found.pop(name))


def reordered(found: dict) -> None:
    found["fields"].insert(0, found["fields"].pop())


def others(found: dict) -> None:
    """A model of which the file holds nothing."""
    found["parameters"] = {f"_orig_mod.{name}": each for name, each in found["parameters"].items()}


def tied_apart(found: dict) -> None:
    found["parameters"]["lm_head.weight"] = found["parameters"]["model.shared.weight"]
    found["report"]["tied"] = []


def unmasked(found: dict[str, np.ndarray]) -> None:
    found["encoder.attention.0"][1, 2, 3, -1] = 1e-30


def scaled(tensor: str, factor: float) -> Alter:
    return arrays(lambda found: found.__setitem__(tensor, found[tensor] * np.float32(factor)))


def spread(*factors: float) -> Alter:
    """A loss that comes as several numbers, each so many times what it is."""
    return arrays(lambda found: found.update(loss=found["loss"].reshape(-1) * np.array(factors, np.float32)))


def poisoned(found: dict[str, np.ndarray]) -> None:
    found["decoder.hidden.2"][0, 3, 7] = np.nan


def written(row: int, position: int, token: int) -> Alter:
    """One token of a generated text."""
    return arrays(lambda found: found["sequences"].__setitem__((row, position), token))


def longer(found: dict[str, np.ndarray]) -> None:
    found["sequences"] = np.pad(found["sequences"], [(0, 0), (0, 1)], constant_values=50)


FILE = next(index for index, subject in enumerate(SUBJECTS) if subject.role == "file")
SAME_AS_FORWARD = "replaced by the answer to the unchanged inputs"
SAME_AS_STEPS = "replaced by steps whose rows were not exchanged"

FAULTS: list[tuple[str, str, Alter | str, str | None]] = [
    # check, case, fault, the tensor or parameter that must be named
    ("LOAD01", "load", wrong_bit, Q_PROJ),
    ("LOAD01", "load", facts(others), None),
    ("LOAD02", "load", facts(lambda f: f["parameters"].pop(Q_PROJ)), Q_PROJ),
    ("LOAD02", "load", facts(lambda f: f["report"]["missing"].append(Q_PROJ)), Q_PROJ),
    ("LOAD02", "load", facts(lambda f: f["report"]["unexpected"].append(Q_PROJ)), Q_PROJ),
    ("LOAD02", "load", facts(lambda f: f["report"]["not_materialised"].append(Q_PROJ)), Q_PROJ),
    ("LOAD02", "load", facts(lambda f: f["parameters"].update(surprise=f["parameters"][Q_PROJ])), "surprise"),
    ("LOAD03", "load", facts(lambda f: f["second"].update({Q_PROJ: "0" * 32})), Q_PROJ),
    ("LOAD04", "load", facts(tied_apart), "lm_head.weight"),
    ("OUT01", "forward", facts(reordered), None),
    ("OUT01", "loss", facts(lambda f: f["fields"].pop(0)), None),
    ("OUT02", "loss", arrays(lambda a: a.__setitem__("loss", a["loss"].reshape(1))), "loss"),
    ("OUT02", "forward", arrays(lambda a: a.__setitem__("logits", a["logits"][:, :-1])), "logits"),
    ("OUT02", "forward", arrays(lambda a: a.__setitem__("hidden", a["logits"])), "hidden"),
    ("OUT02", "forward", dropped("decoder.hidden.2"), "decoder.hidden.2"),
    ("OUT03", "forward.tuple", facts(lambda f: f["tuple"].reverse()), None),
    ("OUT03", "forward.tuple", facts(lambda f: f["tuple"].pop()), None),
    ("NUM01", "forward", off("encoder.hidden.1"), "encoder.hidden.1"),
    ("NUM01", "forward", off("decoder.hidden.1", 1e-3, (1, 2, 3)), "decoder.hidden.1"),
    ("NUM01", "forward", arrays(poisoned), "decoder.hidden.2"),
    ("NUM01", "forward", dropped("decoder.hidden.2"), "decoder.hidden.2"),
    ("NUM02", "forward", off("encoder.attention.1"), "encoder.attention.1"),
    ("NUM03", "loss", off("decoder.cross_attention.0"), "decoder.cross_attention.0"),
    ("NUM04", "forward.single-row", off("logits", 1e-3, (0, 0, 5)), "logits"),
    ("NUM04", "forward", scaled("logits", 1.0001), "logits"),
    ("NUM04", "forward", arrays(lambda a: a.__setitem__("logits", a["logits"][:, ::-1])), "logits"),
    ("GRAD01", "gradients", scaled(f"gradient.{Q_PROJ}", 1.001), f"gradient.{Q_PROJ}"),
    ("GRAD01", "gradients", dropped(f"gradient.{Q_PROJ}"), f"gradient.{Q_PROJ}"),
    (
        "GRAD01",
        "gradients",
        off("gradient.model.encoder.layers.0.self_attn.k_proj.bias", 1e-2),
        "gradient.model.encoder.layers.0.self_attn.k_proj.bias",
    ),
    ("LOSS01", "loss", scaled("loss", 1.001), "loss"),
    ("LOSS02", "loss", scaled("loss", 1.001), "loss"),
    ("LOSS01", "loss", spread(0.5, 1.51), "loss"),
    ("LOSS02", "loss", spread(0.5, 1.51), "loss"),
    ("LOSS02", "loss.row-ignored", arrays(lambda a: a.__setitem__("loss", np.float32(np.nan))), "loss"),
    ("LOSS01", "loss.padding-label", scaled("loss", 1.001), "loss"),
    ("LOSS02", "loss.padding-label", scaled("loss", 1.001), "loss"),
    ("LOSS03", "loss.all-ignored", arrays(lambda a: a.__setitem__("loss", np.float32(0.0))), "loss"),
    ("LOSS03", "loss.all-ignored", off("logits"), "logits"),
    ("SHIFT01", "loss", off("decoder.hidden.0", 1e-3), "decoder.hidden.0"),
    ("SHIFT02", "forward.defaults", off("decoder.hidden.0", 1e-3), "decoder.hidden.0"),
    ("CALL01", "encode-decode", off("decoder.cross_attention.0", 1e-3), "decoder.cross_attention.0"),
    ("PAD01", "forward.single-row", off("encoder.hidden.1", 1e-3), "encoder.hidden.1"),
    ("BATCH01", "forward.perturbed-batch", off("encoder.hidden.0", 1e-3), "encoder.hidden.0"),
    ("MASK01", "forward.perturbed-future", off("decoder.hidden.1", 1e-3, (0, 0)), "decoder.hidden.1"),
    ("MASK01", "forward.perturbed-future", SAME_AS_FORWARD, "logits"),
    ("MASK02", "forward.perturbed-source", SAME_AS_FORWARD, "encoder.last"),
    ("MASK03", "forward.perturbed-padding", off("encoder.hidden.1", 1e-3), "encoder.hidden.1"),
    ("MASK04", "forward.fully-masked-row", off("encoder.hidden.1", 1e-3, (2, 4)), "encoder.hidden.1"),
    ("EVAL01", "forward.repeated", facts(lambda f: f["second"].update(logits="0")), "logits"),
    ("ATTN01", "forward", scaled("decoder.attention.1", 1.00001), "decoder.attention.1"),
    ("ATTN02", "forward", arrays(unmasked), "encoder.attention.0"),
    ("HEAD01", "forward.head-masks", SAME_AS_FORWARD, "encoder.attention.0"),
    ("CACHE01", "decode-steps", off("logits", 1e-3, (1, 3)), "logits"),
    ("CACHE01", "decode-steps", off("decoder.attention.1", 1e-3, (0, 1, 4)), "decoder.attention.1"),
    ("CACHE02", "decode-chunks", off("decoder.hidden.1", 1e-3, (0, 4)), "decoder.hidden.1"),
    ("CACHE03", "decode-steps", off("decoder.self_key.1", 1e-3, (0, 0, 2)), "decoder.self_key.1"),
    ("CACHE03", "decode-chunks", dropped("decoder.self_value.0"), "decoder.self_value.0"),
    ("CACHE04", "decode-steps", off("decoder.cross_value.1", 1e-3, (2, 0, 2)), "decoder.cross_value.1"),
    ("CACHE05", "decode-steps", facts(lambda f: f["steps"][3]["layout"][0].__setitem__(2, 1)), "decoder.self_key.0"),
    ("CACHE05", "decode-chunks", facts(lambda f: f["steps"][2]["layout"][3].reverse()), "decoder.cross_value.0"),
    ("CACHE05", "decode-steps", facts(lambda f: f["steps"][1].update(layout=f["steps"][1]["layout"][:2])), None),
    ("CACHE06", "decode-steps.reordered", off("logits", 1e-3, (1, 4)), "logits"),
    ("CACHE06", "decode-steps.reordered", SAME_AS_STEPS, "decoder.attention.0"),
    ("CACHE07", "decode-steps.perturbed-batch", off("decoder.self_value.0", 1e-3, (1, 0, 1)), "decoder.self_value.0"),
    ("GEN01", "generate.settings", facts(lambda f: f["settings"].update(length_penalty=1.0)), None),
    ("GEN02", "generate.greedy", written(1, 4, 17), "sequences"),
    ("GEN02", "generate.no-repeat", written(0, 3, 50), "sequences"),
    ("GEN02", "generate.max-length", arrays(lambda a: a.update(sequences=a["sequences"][:, :-1])), "sequences"),
    ("GEN02", "generate.single-row", dropped("sequences"), "sequences"),
    ("GEN03", "generate.beams", written(2, 5, 17), "sequences"),
    ("GEN03", "generate.early-stopping", arrays(lambda a: a.update(sequences=a["sequences"][::-1])), "sequences"),
    ("GEN04", "generate.length-penalty", scaled("sequences_scores", 11 / 12), "sequences_scores"),
    ("GEN04", "generate.beams", dropped("sequences_scores"), "sequences_scores"),
    ("GEN05", "generate.max-length", arrays(longer), "sequences"),
    ("GEN05", "generate.min-length", written(0, 8, 2), "sequences"),
    ("GEN06", "generate.forced-bos", written(1, 1, 50), "sequences"),
    ("GEN06", "generate.forced-eos", written(2, 5, 50), "sequences"),
    ("GEN07", "generate.no-repeat", written(1, 10, 2), "sequences"),
    ("GEN08", "generate.perturbed-batch", written(1, 3, 46), "sequences"),
    ("GEN09", "generate.single-row", written(0, 3, 46), "sequences"),
    ("SCORE01", "score.beams", off("token_scores", 1e-3, (1, 4)), "token_scores"),
    ("SCORE01", "score.beams", scaled("sequences_scores", 1.001), "sequences_scores"),
]


def test_an_conforming_backend_passes_every_cell(run_directory):
    report = judge(run_directory())
    assert report.totals.fail == report.totals.error == 0, [v for v in report.verdicts if v.status in ("fail", "error")]
    assert {verdict.check for verdict in cells(report, status="pass")} == OF_MODELS


@pytest.mark.parametrize(
    ("check", "case", "fault", "tensor"), FAULTS, ids=[f"{fault[0]}-{n}" for n, fault in enumerate(FAULTS)]
)
def test_a_fault_is_caught_and_named(run_directory, original, check, case, fault, tensor):
    if isinstance(fault, str):
        unchanged = original[CANDIDATE, {SAME_AS_FORWARD: "forward", SAME_AS_STEPS: "decode-steps"}[fault]]
        fault = arrays(lambda found: found.update(unchanged.arrays))
    report = judge(run_directory({case: fault}), checks=[check])
    failed = [verdict for verdict in cells(report, check, "fail") if verdict.case == case]
    assert len(failed) == 1 and failed[0].reason
    if tensor is not None:
        assert failed[0].first_divergence.tensor == tensor


def test_a_table_that_the_file_holds_twice_is_used_once_and_nothing_is_lost(run_directory):
    """transformers 4.x saves the table under all its names in ``pytorch_model.bin``; a conversion says it used one."""
    duplicates = ["lm_head.weight", "lm_head/kernel", "model/decoder/embed_tokens/kernel"]
    unused = facts(lambda f: f["report"]["unexpected"].extend(duplicates))
    report = judge(run_directory({"load": unused}), checks=["LOAD02"])
    assert [verdict.status for verdict in cells(report, "LOAD02")] == ["pass"]
    note = "lm_head.weight differs from the table it is tied to"
    differs = facts(lambda f: f["report"]["notes"].append(note))
    report = judge(run_directory({"load": unused, (FILE, "load"): differs}), checks=["LOAD02"])
    (verdict,) = cells(report, "LOAD02", "fail")
    assert verdict.evidence["tensors"] == duplicates[:2]


def test_a_buffer_of_zeros_need_not_be_in_the_file(run_directory):
    """Flax names it as missing; PyTorch's classes and TensorFlow's do not look for it."""
    bias = "final_logits_bias"
    zero = facts(lambda f: f["parameters"][bias].update(digest="0" * 32))
    missing = facts(lambda f: (f["parameters"][bias].update(digest="0" * 32), f["report"]["missing"].append(bias)))
    report = judge(run_directory({"load": missing, (FILE, "load"): zero}), checks=["LOAD02"])
    assert [verdict.status for verdict in cells(report, "LOAD02")] == ["pass"]
    report = judge(run_directory({"load": missing}), checks=["LOAD02"])
    assert [verdict.status for verdict in cells(report, "LOAD02")] == ["fail"]


def test_the_mean_of_a_loss_that_comes_as_several_numbers_is_compared_and_its_shape_is_wrong(run_directory):
    report = judge(run_directory({"loss": spread(0.5, 1.5)}), checks=["LOSS01", "LOSS02", "OUT02"])
    told = {v.check: v.status for v in report.verdicts if v.case == "loss" and v in cells(report, v.check)}
    assert told == {"LOSS01": "pass", "LOSS02": "pass", "OUT02": "fail"}


def test_what_a_row_that_is_masked_entirely_answers_is_its_own_affair(run_directory, cases):
    masked = cases["forward.fully-masked-row"].notes["masked"]

    def change(found: dict[str, np.ndarray]) -> None:
        for array in found.values():
            array[masked] = np.nan

    report = judge(run_directory({"forward.fully-masked-row": arrays(change)}), checks=["MASK04"])
    assert [verdict.status for verdict in cells(report, "MASK04")] == ["pass"]


FILE_FAULTS = [
    facts(lambda f: f["report"]["missing"].append(Q_PROJ)),
    facts(lambda f: f["report"]["unexpected"].append(Q_PROJ)),
    facts(lambda f: f["parameters"][Q_PROJ].update(non_finite=3)),
    facts(lambda f: f["report"]["notes"].append(f"{Q_PROJ} has shape [3, 4], config asks for [4, 3]")),
]


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_of_the_file_is_caught_and_named(run_directory, fault):
    report = judge(run_directory({(1, "load"): fault}), checks=["FILE01"])
    (verdict,) = cells(report, "FILE01")
    assert verdict.status == "fail" and verdict.first_divergence.tensor == Q_PROJ


def test_every_check_has_a_fault_that_only_it_must_catch():
    assert {fault[0] for fault in FAULTS} | {"FILE01"} == OF_MODELS


def test_the_inputs_of_the_first_divergence_were_still_right(run_directory):
    report = judge(run_directory({"forward": off("decoder.hidden.2", 1e-3)}), checks=["NUM01"])
    (failed,) = cells(report, "NUM01", "fail")
    assert failed.first_divergence.inputs_within < 1
    assert failed.first_divergence.error > failed.first_divergence.tolerance


def test_logits_that_fail_point_at_the_layer_that_broke(run_directory):
    def change(found: dict[str, np.ndarray]) -> None:
        found["decoder.hidden.1"] += 1e-3
        found["logits"] += 1e-3

    report = judge(run_directory({"forward": arrays(change)}), checks=["NUM04"])
    (failed,) = cells(report, "NUM04", "fail")
    assert failed.first_divergence.tensor == "decoder.hidden.1"


@pytest.mark.parametrize(
    ("check", "case", "at", "step"),
    [("CACHE01", "decode-steps", (1, 3), 3), ("CACHE06", "decode-steps.reordered", (1, 4), 4)],
)
def test_a_fault_of_the_cache_names_its_first_wrong_step(run_directory, check, case, at, step):
    def late(found: dict[str, np.ndarray]) -> None:
        found["logits"][at] += 1e-3
        found["logits"][0, step + 1 :] += 1.0

    report = judge(run_directory({case: arrays(late)}), checks=[check])
    (failed,) = cells(report, check, "fail")
    assert failed.evidence["first_step"] == step
    assert failed.reason.endswith(f"first wrong step: {step}")
    assert failed.first_divergence.at["tgt"] > step


def test_a_place_in_a_part_of_a_tensor_is_named_as_in_the_whole(run_directory):
    report = judge(run_directory({"forward.perturbed-batch": off("logits", 1e-2, (1, 2))}), checks=["BATCH01"])
    (failed,) = cells(report, "BATCH01", "fail")
    assert failed.first_divergence.at == {"batch": 1, "tgt": 2}


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_a_check_says_what_it_claims_and_why(check):
    assert check.claim and check.source and check.likely_cause and check.function.__doc__
    assert not check.claim.endswith(".") and check.cases
