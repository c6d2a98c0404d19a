"""Every check passes on an honest backend, fails on a fault of its own kind, and names the first wrong tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from parity.checks import CHECKS
from parity.judge import judge
from parity.traces import Trace
from tests.judging.conftest import cells

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


def tied_apart(found: dict) -> None:
    found["parameters"]["lm_head.weight"] = found["parameters"]["model.shared.weight"]
    found["report"]["tied"] = []


def unmasked(found: dict[str, np.ndarray]) -> None:
    found["encoder.attention.0"][1, 2, 3, -1] = 1e-30


def scaled(tensor: str, factor: float) -> Alter:
    return arrays(lambda found: found.__setitem__(tensor, found[tensor] * np.float32(factor)))


def poisoned(found: dict[str, np.ndarray]) -> None:
    found["decoder.hidden.2"][0, 3, 7] = np.nan


SAME_AS_FORWARD = "replaced by the answer to the unchanged inputs"

FAULTS: list[tuple[str, str, Alter | str, str | None]] = [
    # check, case, fault, the tensor or parameter that must be named
    ("LOAD01", "load", wrong_bit, Q_PROJ),
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
    ("NUM04", "forward.alone", off("logits", 1e-3, (0, 0, 5)), "logits"),
    ("NUM04", "forward", scaled("logits", 1.0001), "logits"),
    ("NUM04", "forward", arrays(lambda a: a.__setitem__("logits", a["logits"][:, ::-1])), "logits"),
    ("GRAD01", "gradients", scaled(f"gradient.{Q_PROJ}", 1.001), f"gradient.{Q_PROJ}"),
    ("GRAD01", "gradients", dropped(f"gradient.{Q_PROJ}"), f"gradient.{Q_PROJ}"),
    ("GRAD01", "gradients", off("gradient.model.encoder.layers.0.self_attn.k_proj.bias", 1e-2),
     "gradient.model.encoder.layers.0.self_attn.k_proj.bias"),
    ("LOSS01", "loss", scaled("loss", 1.001), "loss"),
    ("LOSS02", "loss", scaled("loss", 1.001), "loss"),
    ("LOSS02", "loss.row-ignored", arrays(lambda a: a.__setitem__("loss", np.float32(np.nan))), "loss"),
    ("LOSS03", "loss.all-ignored", arrays(lambda a: a.__setitem__("loss", np.float32(0.0))), "loss"),
    ("LOSS03", "loss.all-ignored", off("logits"), "logits"),
    ("SHIFT01", "loss", off("decoder.hidden.0", 1e-3), "decoder.hidden.0"),
    ("SHIFT02", "forward.defaults", off("decoder.hidden.0", 1e-3), "decoder.hidden.0"),
    ("CALL01", "encode-decode", off("decoder.cross_attention.0", 1e-3), "decoder.cross_attention.0"),
    ("PAD01", "forward.alone", off("encoder.hidden.1", 1e-3), "encoder.hidden.1"),
    ("BATCH01", "forward.other-mates", off("encoder.hidden.0", 1e-3), "encoder.hidden.0"),
    ("MASK01", "forward.other-future", off("decoder.hidden.1", 1e-3, (0, 0)), "decoder.hidden.1"),
    ("MASK01", "forward.other-future", SAME_AS_FORWARD, "logits"),
    ("MASK02", "forward.other-source", SAME_AS_FORWARD, "encoder.last"),
    ("MASK03", "forward.other-padding", off("encoder.hidden.1", 1e-3), "encoder.hidden.1"),
    ("EVAL01", "forward.repeated", facts(lambda f: f["second"].update(logits="0")), "logits"),
    ("ATTN01", "forward", scaled("decoder.attention.1", 1.00001), "decoder.attention.1"),
    ("ATTN02", "forward", arrays(unmasked), "encoder.attention.0"),
    ("HEAD01", "forward.head-masks", SAME_AS_FORWARD, "encoder.attention.0"),
]  # fmt: skip


def test_an_honest_backend_passes_every_cell(run_directory):
    report = judge(run_directory())
    assert report.totals.fail == report.totals.error == 0, [v for v in report.verdicts if v.status in ("fail", "error")]
    assert {verdict.check for verdict in cells(report, status="pass")} == set(CHECKS)


@pytest.mark.parametrize(
    ("check", "case", "fault", "tensor"), FAULTS, ids=[f"{fault[0]}-{n}" for n, fault in enumerate(FAULTS)]
)
def test_a_fault_is_caught_and_named(run_directory, honest, check, case, fault, tensor):
    if fault == SAME_AS_FORWARD:
        unchanged = honest[len({index for index, _ in honest}) - 1, "forward"]
        fault = arrays(lambda found: found.update(unchanged.arrays))
    report = judge(run_directory({case: fault}), checks=[check])
    failed = [verdict for verdict in cells(report, check, "fail") if verdict.case == case]
    assert len(failed) == 1 and failed[0].reason
    if tensor is not None:
        assert failed[0].first_divergence.tensor == tensor


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
    assert {fault[0] for fault in FAULTS} | {"FILE01"} == set(CHECKS)


def test_the_inputs_of_the_first_divergence_were_still_right(run_directory):
    report = judge(run_directory({"forward": off("decoder.hidden.2", 1e-3)}), checks=["NUM01"])
    (failed,) = cells(report, "NUM01", "fail")
    assert failed.first_divergence.inputs_within < 1
    assert failed.first_divergence.error > failed.first_divergence.budget


def test_logits_that_fail_point_at_the_layer_that_broke(run_directory):
    def change(found: dict[str, np.ndarray]) -> None:
        found["decoder.hidden.1"] += 1e-3
        found["logits"] += 1e-3

    report = judge(run_directory({"forward": arrays(change)}), checks=["NUM04"])
    (failed,) = cells(report, "NUM04", "fail")
    assert failed.first_divergence.tensor == "decoder.hidden.1"


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_a_check_says_what_it_claims_and_why(check):
    assert check.claim and check.source and check.usually and check.function.__doc__
    assert not check.claim.endswith(".") and check.cases
