"""The measuring of the factors: random checkpoints, what is kept of their errors, and the tail that is read."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from safetensors.numpy import load_file

from parity.cases.standard import standard_cases
from parity.core.model_spec import model_spec_of
from parity.core.resources import data
from parity.core.trace import Trace
from parity.judge.captured_run import CheckpointRun
from parity.judge.judge import judge
from parity.judge.tolerance import UNIT_ROUNDOFF
from parity.tools.calibrate import alarms, measure, table, tail
from parity.tools.calibrate.draw import LONGEST_TEXT, architecture, deviation, generation, rows, write_checkpoint
from parity.tools.calibrate.measure import Row, known_to_be_wrong, read, rows_of, still_drawn, write
from parity.tools.calibrate.plan import LARGEST_GAIN, NARROWEST, Chunk, chunks, is_requested
from reference.config import BartConfig
from reference.generation import GenerationSettings

RNG = np.random.default_rng
MILLION = 1e-6


def row(**changed) -> Row:
    plain = Row("0-0", "hf-torch", "float32", "forward", "logits", "logits", 90, 9, 3e-7, 1e-7, 9e-7, 3e-7)
    return replace(plain, **changed)


@pytest.mark.parametrize("seed", range(30))
def test_random_architectures_can_be_asked_everything(seed, tmp_path):
    config = architecture(RNG(seed))
    read_back = BartConfig.from_dict(config)
    settings = GenerationSettings.from_dict(generation(RNG(seed), config)).to_dict()
    assert 8 <= settings["max_length"] <= LONGEST_TEXT <= read_back.max_position_embeddings
    asked = standard_cases(model_spec_of(config), rows(config), settings)
    longest = max(len(each[0]) for case in asked for name, each in case.inputs.items() if name.endswith("ids"))
    assert longest <= read_back.max_position_embeddings


def test_draws_of_an_architecture_share_their_shapes_and_nothing_else(tmp_path):
    one, other = Chunk(5, 2, 3, 2, "float32", None).write(tmp_path)
    assert (one.name, other.name) == ("2-0", "2-1")
    assert (one / "config.json").read_bytes() == (other / "config.json").read_bytes()
    assert (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    settings = [json.loads((path / "generation_config.json").read_text()) for path in (one, other)]
    assert all(settings[0][name] == settings[1][name] for name in ("max_length", "num_beams"))


def test_narrow_architectures_and_large_gains_are_passed_over(tmp_path):
    widths = {number: architecture(RNG([5, number]))["d_model"] for number in range(30)}
    gains = {number: deviation(RNG([5, number, 0])) * width**0.5 for number, width in widths.items()}
    wide = {number for number, width in widths.items() if width >= NARROWEST}
    drawn = {number for number in wide if gains[number] <= LARGEST_GAIN}
    written = Chunk(5, 0, 30, 1, "float32", None).write(tmp_path)
    assert {int(path.name[:-2]) for path in written} == drawn < wide < set(widths)
    weights = load_file(written[0] / "model.safetensors")["model.shared.weight"]
    assert weights.std() * weights.shape[1] ** 0.5 == pytest.approx(gains[min(drawn)], rel=0.05)


def test_rows_of_what_is_passed_over_today_are_not_counted(tmp_path):
    widths = {number: architecture(RNG([5, number]))["d_model"] for number in range(30)}
    narrow = next(number for number, width in widths.items() if width < NARROWEST)
    drawn = next(number for number in widths if is_requested(5, number, 0))
    write(tmp_path / "5-0000-0030-float32.csv.gz", [row(checkpoint=f"{number}-0") for number in (narrow, drawn)])
    assert still_drawn(read(tmp_path))["checkpoint"].tolist() == [f"{drawn}-0"]


def test_a_checkpoint_is_the_same_whenever_it_is_drawn(tmp_path):
    for name in ("first", "second"):
        write_checkpoint(tmp_path / name, RNG(3), architecture(RNG(3)))
    first, second = (tmp_path / name / "model.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_chunks_take_the_dtypes_in_turn_and_the_dear_backends_first():
    found = list(chunks(1, 10, 3, ["float32", "bfloat16"], ["hf-torch"], dear=1))
    assert [(chunk.first, chunk.last, chunk.dtype) for chunk in found] == [
        (0, 4, "float32"),
        (4, 8, "bfloat16"),
        (8, 10, "float32"),
    ]
    assert [chunk.backends for chunk in found] == [None, ("hf-torch",), ("hf-torch",)]


def test_what_was_measured_is_read_back(tmp_path):
    write(tmp_path / "a.csv.gz", [row(), row(slice=5e-7)])
    write(tmp_path / "b.csv.gz", [row(tensor="loss")])
    found = read(tmp_path)
    assert found["slice"].tolist() == [3e-7, 5e-7, 3e-7]
    assert found["chunk"].tolist() == ["a.csv.gz", "a.csv.gz", "b.csv.gz"]
    assert found["size"].dtype.kind == "i"


def test_a_chunk_that_is_there_is_not_measured_again(tmp_path, monkeypatch):
    chunk = Chunk(1, 0, 1, 1, "float32", None)
    write(tmp_path / f"{chunk.name}.csv.gz", [row()])
    monkeypatch.setattr(measure, "measure_chunk", lambda *_: pytest.fail("measured again"))
    measure.measure_all([chunk], tmp_path, 1, print)


def test_every_candidate_is_measured_at_every_tensor(run_directory):
    _, (run,) = CheckpointRun.open_all(run_directory())
    found = list(rows_of(run))
    assert {each.kind for each in found} >= {"hidden", "attention", "logits", "loss", "gradient", "cache"}
    hidden = [each for each in found if (each.case, each.tensor) == ("forward", "encoder.hidden.1")]
    assert len(hidden) == len(list(run.subjects("candidate"))) and hidden[0].slices < hidden[0].size
    assert not [each for each in found if (each.case, each.tensor) == ("loss.all-ignored", "loss")]


def test_what_the_known_issues_knows_is_left_out_where_it_speaks_of_numbers(run_directory):
    _, (run,) = CheckpointRun.open_all(run_directory())
    subject = next(subject for _, subject in run.subjects("candidate"))
    run.manifest.environments[subject.environment]["versions"] = {"transformers": "4.57.6"}
    library = subject.model_copy(update={"backend": "hf-torch", "variant": "eager"})
    known = known_to_be_wrong(run, library, run.cases["gradients"])
    assert "gradient.model.shared.weight" in known and all(name.startswith("gradient.") for name in known)
    matched = {spec.name for spec in run.specs("gradients") for name in known if fnmatchcase(spec.name, name)}
    assert matched == {"gradient.model.shared.weight"}
    assert known_to_be_wrong(run, library, run.cases["loss"]) == set()  # of which it says that a field is missing
    run.config["tie_word_embeddings"] = False  # and the file holds the table once, so that the other two are random
    assert "*" in known_to_be_wrong(run, library, run.cases["forward"])


def audits(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of ``size`` ratios, and clusters of four blocks."""
    number = np.arange(len(values)) // size
    return number, number // 4


@pytest.mark.parametrize("exponent", [0.1, 0.2])
def test_the_level_of_a_power_law_is_found(exponent):
    found = []
    for seed in range(9):
        values = RNG(seed).uniform(size=100_000) ** -exponent
        found.append(tail.reach(values, *audits(values, 200), MILLION)[0])
    assert np.median(found) == pytest.approx(1e6**exponent, rel=0.15)


def test_the_level_of_an_exponential_law_is_found():
    values = RNG(0).exponential(size=200_000)
    estimated, confident = tail.reach(values, *audits(values, 200), MILLION)
    assert estimated == pytest.approx(np.log(1e6), rel=0.15)
    assert estimated < confident < 2 * estimated


def test_a_clump_of_ratios_is_one_piece_of_evidence():
    alone = RNG(0).exponential(size=10_000)
    values = np.repeat(alone, 20)  # what one token does shows in twenty tensors of its audit
    level = tail.reach(values, *audits(values, 200), MILLION)[0]
    assert level == pytest.approx(np.log(1e6 / 20), rel=0.15)


def test_a_law_with_an_end_is_not_believed_to_end():
    assert tail.pareto(RNG(0).uniform(size=2000))[0] == 0.0
    maxima = RNG(0).uniform(size=500)
    assert tail.level(maxima, 1e-4) > 1.2


def test_ratios_that_are_all_alike_have_no_tail():
    assert tail.reach(np.full(1000, 0.9), *audits(np.zeros(1000), 10), MILLION) == (0.9, 0.9)


def test_no_level_is_below_the_largest_ratio():
    values = np.r_[RNG(0).uniform(size=9999), 50.0]
    assert min(tail.reach(values, *audits(values, 5000), MILLION)) == 50.0


def test_what_only_some_architectures_show_is_known_with_less_confidence():
    maxima = RNG(0).exponential(size=400)
    maxima[:40] *= 2
    mixed, apart = (tail.confident_level(maxima, each, 1e-3) for each in (np.arange(400), np.arange(400) // 20))
    assert apart > mixed > tail.level(maxima, 1e-3)


def test_the_factors_cover_what_was_measured(tmp_path):
    found = [
        row(subject=name, dtype=dtype, slice=ratio * 1e-7, element=ratio * 3e-7)
        for name in ("hf-torch", "reference-flax")
        for dtype in ("float32", "float64")
        for ratio in (0.5, 3.21)
    ]
    write(tmp_path / "a.csv.gz", found)
    written = tomllib.loads(table.as_toml(read(tmp_path), {"date": "today"}))
    names = {f"{members}-{dtype}" for members in ("ensemble", "peer") for dtype in ("float32", "float64")}
    assert set(written) == {*names, "measured"}  # of gradients nothing was measured
    assert written["ensemble-float32"]["k_slice"] >= 3.21 and written["peer-float64"]["k_element"] >= 3.21
    assert {each["count"] for each in written["measured"]["ratios"]} == {2}


def test_what_is_never_judged_has_no_say_in_the_factors(tmp_path):
    wild = row(slice=6.0, slice_noise_floor=0.6, element=6.0, element_noise_floor=0.6)
    write(tmp_path / "a.csv.gz", [row(), wild])
    assert table.smallest_factor(read(tmp_path), MILLION) == pytest.approx(
        3.4, abs=0.11
    )  # 3.4 times 0.6 could not fail
    write(tmp_path / "a.csv.gz", [row(), row(slice=6e-7, slice_noise_floor=6e-8)])
    assert table.smallest_factor(read(tmp_path), MILLION) == pytest.approx(10.0, abs=0.11)


def test_a_ratio_is_never_taken_of_less_than_the_floor(tmp_path):
    write(tmp_path / "a.csv.gz", [row(slice_noise_floor=0.0, element_noise_floor=0.0)])
    found = read(tmp_path)
    floors = table.FLOORS
    assert table.ratios(found, "slice") == pytest.approx(3e-7 / (floors["slice"] * UNIT_ROUNDOFF["float32"]))
    assert table.ratios(found, "element") == pytest.approx(9e-7 / (floors["element"] * UNIT_ROUNDOFF["float32"]))


def test_a_chunk_of_architectures_that_are_passed_over_has_nothing_to_audit(tmp_path, monkeypatch):
    chunk = Chunk(7, 0, 1, 1, "float32", None)
    monkeypatch.setattr(Chunk, "write", lambda *_: [])
    assert alarms.audit_chunk(chunk, tmp_path) == "nothing to audit"
    assert alarms.together(tmp_path)["checkpoints"] == 0
    alarms.audit_all([chunk], tmp_path, 1)  # its file is there: nothing is done again


def test_alarms_are_counted_and_named(run_directory):
    def wrong(trace: Trace) -> Trace:
        trace.arrays["logits"] = trace.arrays["logits"] + 1.0
        return trace

    report = judge(run_directory({"forward": wrong}))
    found = alarms.summary(report, Chunk(7, 0, 1, 1, "float32", None))
    assert found["totals"]["fail"] == len(found["alarms"]) > 0
    assert {alarm["case"] for alarm in found["alarms"]} >= {"forward"} and found["alarms"][0]["seed"] == 7
    assert 0 < found["nearest"] <= 1


def test_the_digest_of_the_rows_is_of_what_they_say(tmp_path):
    write(tmp_path / "a.csv.gz", [row()])
    first = measure.digest(tmp_path)
    write(tmp_path / "a.csv.gz", [row()])  # compressed at another second
    assert measure.digest(tmp_path) == first
    write(tmp_path / "a.csv.gz", [row(slice=4e-7)])
    assert measure.digest(tmp_path) != first


def test_the_factors_in_force_cover_the_largest_ratio_that_each_was_measured_on():
    text = data("judge/data/calibration.toml").read_text(encoding="utf-8")
    in_force = tomllib.loads(text)
    found = re.findall(r"^k_(?:slice|element) = ([0-9.]+) # .*largest of (\d+): ([0-9.]+)$", text, re.MULTILINE)
    assert len(found) == 2 * (len(in_force) - 1) == 24
    assert all(float(k) >= float(largest) and int(count) > 1000 for k, count, largest in found)
    assert in_force["measured"]["comparisons"] >= 600_000 and in_force["measured"]["checkpoints"] >= 200
    assert re.fullmatch("[0-9a-f]{64}", in_force["measured"]["rows_sha256"])


def test_fields_that_are_given_are_not_drawn_and_the_others_are_as_without(tmp_path):
    given = [alarms.fixed(each) for each in ("activation_function=gelu", "tie_word_embeddings=true")]
    assert given == [("activation_function", "gelu"), ("tie_word_embeddings", True)]
    (drawn,), (held,) = (list(chunks(7, 4, 1, ["float32"], None, fixed=each)) for each in ((), given))
    written = [
        [json.loads((path / "config.json").read_text()) for path in each.write(tmp_path / name)]
        for name, each in (("drawn", drawn), ("held", held))
    ]
    assert len(written[0]) == len(written[1]) > 2
    for before, after in zip(*written, strict=True):
        assert after == before | dict(given)
    assert any(before["activation_function"] != "gelu" for before in written[0])
