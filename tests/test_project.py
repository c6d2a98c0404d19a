"""The project as people get it: what a wheel holds, what is generated, what stands in one place only."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest

import parity
from parity.cli.schema import report_schema_text
from parity.core.resources import data, fixture, fixtures
from tests.cli.test_main import COMMANDS
from tests.sample_reports import failure, report, verdict

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    "action.yml",
    "containers",
    "pyproject.toml",
    "noxfile.py",
    "mkdocs.yml",
    "docs",
    "benchmarks",
    "parity",
    "reference",
    "fixtures",
    "tests",
    "reports",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "COVERAGE.md",
    "DIALECTS.md",
    "CHANGELOG.md",
    "LICENSE",
    "CITATION.cff",
    "SECURITY.md",
}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    return listed.stdout.splitlines()


def test_the_top_level_holds_nothing_else():
    found = {path.partition("/")[0] for path in tracked()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def test_the_published_schema_is_the_one_the_reports_follow():
    text = data("core/data/report.schema.json").read_text(encoding="utf-8")
    assert text == report_schema_text(), "run: python -m parity.cli.schema"


def test_a_report_fits_the_schema_and_a_wrong_status_does_not():
    schema = json.loads(report_schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads(report(verdict(), failure(), verdict("skip")).model_dump_json(by_alias=True))
    jsonschema.validate(written, schema)
    written["verdicts"][0]["status"] = "passed"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, schema)


def test_the_schema_has_every_field_that_readers_were_promised():
    schema = json.loads(report_schema_text())
    assert {"schema_version", "checkpoints", "environments", "verdicts", "totals"} <= set(schema["properties"])
    promised = {
        "check",
        "claim",
        "checkpoint",
        "model_class",
        "case",
        "backend",
        "variant",
        "stack",
        "device",
        "dtype",
        "status",
        "error",
        "tolerance",
        "first_divergence",
        "reason",
        "evidence",
    }
    assert promised <= set(schema["$defs"]["Verdict"]["properties"])
    assert set(schema["$defs"]["Totals"]["properties"]) == {"pass", "fail", "known", "skip", "error"}


def test_importing_the_package_imports_nothing_but_the_standard_library():
    code = "import sys; before = set(sys.modules); import parity; print(*(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    others = {name.partition(".")[0] for name in ended.stdout.split()} - set(sys.stdlib_module_names)
    assert others == {"parity"}


def test_the_command_line_imports_no_framework():
    code = "import sys, parity.cli.main, parity.api, parity.report.terminal; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert loaded.isdisjoint({"torch", "tensorflow", "jax", "flax", "transformers", "keras"})


def test_audit_is_exposed_by_the_package():
    from parity import api

    assert parity.audit is api.audit
    with pytest.raises(AttributeError, match="nonsense"):
        _ = parity.nonsense


def test_fixtures_are_found_by_name():
    assert {"bart-odd", "bart-untied"} <= {path.name for path in fixtures()}
    assert (fixture("bart-odd") / "config.json").is_file()
    with pytest.raises(FileNotFoundError, match=r"no fixture 'nonsense'; there are: .*bart-odd"):
        fixture("nonsense")


def test_the_changelog_keeps_its_sections():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(Unreleased|\d)", text, re.MULTILINE)
    assert "### Verdicts changed" in text


def test_the_license_is_whole_and_named():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"


def test_the_readme_opens_with_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line.partition("#")[0].strip() for line in lines[3:5]]
    assert commands == [f"python -m pip install nox && python -m nox -s {session}" for session in ("parity", "tests")]


def test_every_command_of_the_readme_and_contributing_exists():
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    for command in set(re.findall(r"parity (audit|capture|judge|[a-z]+) (?:[A-Z]|--|path)", text)):
        assert command in COMMANDS, command
    sessions = set(re.findall(r"nox -s ([a-z0-9-]+)", text)) - {"stack-"}
    assert sessions <= {"parity", "parity-gpu", "tests", "tests-full", "tests-s3", "coverage", "lint"}


@pytest.mark.parametrize("path", ["noxfile.py", "parity/__main__.py"])
def test_an_old_python_can_read_far_enough_to_be_refused(path):
    """Everything up to the version check must be old syntax; the whole file, since it is compiled at once."""
    ast.parse((ROOT / path).read_text(encoding="utf-8"), feature_version=(3, 8))


def test_parity_gpu_without_a_device_stops_with_2_and_says_what_to_run():
    environment = {**os.environ, "PATH": str(Path(sys.executable).parent), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "nox", "--no-venv", "-s", "parity-gpu"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert ended.returncode == 2
    assert "run instead: python -m nox -s parity\n" in ended.stderr


def test_the_gate_s_script_is_strict_and_executable():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without isolation from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_a_wheel_holds_all_that_the_installed_command_needs(wheel):
    names = set(wheel.namelist())
    for path in tracked():
        if path.startswith(("parity/", "reference/")):
            assert path in names, path
        if path.startswith(("fixtures/checkpoints/", "fixtures/documented/")):
            assert f"parity/{path}" in names, path
    assert not any(name.startswith(("tests/", "reports/")) for name in names)


def test_the_installed_command_finds_its_data_and_fixtures(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = "import parity; from parity.core.resources import *; from parity.core.stacks import table; "
    code += "print(parity.__file__); print(fixture('bart-odd')); print(*table())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert ended.stdout.splitlines() == [
        str(tmp_path / "parity" / "__init__.py"),
        str(tmp_path / "parity" / "fixtures" / "checkpoints" / "bart-odd"),
        "main docs-4.37 current gpu",
    ]
