"""Checkpoints whose settings have a list of end tokens: each ends a text, and a library that reads only one fails."""

import json
import shutil

import pytest

from parity import api
from parity.core.resources import fixture
from tests.end_to_end.shadow import shadow_line

pytestmark = pytest.mark.full
ENDS = [2, *range(4, 40, 3)]
"""So many that one of the others is soon generated."""
TEXT = ["GEN02", "GEN03", "GEN04", "GEN05", "GEN06", "GEN07"]


@pytest.fixture
def audit(cache, tmp_path):
    """Audits a fixture with such a list in these files."""

    def run(*backends, files=("config.json", "generation_config.json"), checks=TEXT, fixture_name="bart-odd", **stored):
        checkpoint = tmp_path / "ends"
        shutil.copytree(fixture(fixture_name), checkpoint, dirs_exist_ok=True)
        for path in (checkpoint / name for name in files):
            settings = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(settings | {"eos_token_id": ENDS} | stored), encoding="utf-8")
        options = {"stacks": ["main"], "checks": list(checks)}
        return api.audit([checkpoint], backends=list(backends), cache=cache, out=tmp_path / "run", **options)

    return run


def statuses(report, backend, check):
    found = [each for each in report.verdicts if each.check == check and each.backend == backend]
    assert found
    return {(each.status, each.evidence.get("known_issue")) for each in found if each.status != "skip"}


@pytest.mark.parametrize("files", [["generation_config.json"], ["config.json", "generation_config.json"]])
def test_every_token_of_the_list_ends_a_text(audit, files):
    report = audit("reference-torch", "reference-flax", "hf-torch", files=files)
    assert not report.failures
    assert not [each for each in report.verdicts if each.case == "generate.defaults" and each.status == "skip"]
    for backend in ("reference-torch", "reference-flax", "hf-torch"):
        assert statuses(report, backend, "GEN03") == {("pass", None)}


def test_the_last_token_may_be_any_of_a_forced_list(audit):
    report = audit("reference-torch", "hf-torch", checks=["GEN06"], forced_eos_token_id=[2, 4])
    assert not report.failures and statuses(report, "hf-torch", "GEN06") == {("pass", None)}


@pytest.mark.parametrize(
    ("backend", "name", "issue"),
    [
        ("hf-tf", "bart-odd", "hf-tf-several-ends-raise"),
        ("hf-flax", "bart-odd", "hf-flax-bart-of-several-ends-raises"),
        ("hf-tf", "bart-labels", "hf-tf-classifier-of-several-ends-raises"),
        ("hf-flax", "bart-labels", "hf-flax-bart-of-several-ends-raises"),
    ],
)
def test_a_framework_that_takes_one_token_raises_which_is_known(audit, backend, name, issue):
    generates = name == "bart-odd"
    files = ["config.json", "generation_config.json"] if generates else ["config.json"]
    check = "GEN03" if generates else "LOAD01"
    report = audit(backend, files=files, checks=[check, "LOAD05", "OUT01"], fixture_name=name)
    assert not report.failures and ("known", issue) in statuses(report, backend, check)


def test_a_library_that_reads_only_the_first_fails(audit, tmp_path, monkeypatch):
    line, instead = "self.eos_token_id = eos_token_id", "self.eos_token_id = eos_token_id[:1]"
    above = "eos_token_id = torch.tensor(eos_token_id)\n"
    path = shadow_line(tmp_path / "shadow", "generation/stopping_criteria.py", above + line, instead)
    monkeypatch.setenv("PYTHONPATH", str(path))
    assert "GEN03" in {each.check for each in audit("hf-torch").failures}
