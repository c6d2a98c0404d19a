"""What GitHub runs besides the audit (tests/test_integrations.py), the action for others, and the containers."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from parity.cli.main import run
from parity.core.records import write_record
from parity.core.stacks import table
from parity.tools.gate.gate import update
from tests.sample_reports import failure, report, verdict

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
DOCKERFILE = (ROOT / "containers" / "Dockerfile").read_text(encoding="utf-8")
OWNER = "https://github.com/OWNER/encdec-parity"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps() -> Iterator[dict[str, Any]]:
    """Every step of every workflow, and of the action."""
    for path in WORKFLOWS:
        for job in read(path)["jobs"].values():
            yield from job.get("steps", ())
    yield from read(ACTION)["runs"]["steps"]


def sessions() -> set[str]:
    """The names of nox's sessions, read from the file's decorators and the table of stacks."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    names = {f"stack-{name}" for name in table()}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for each in map(ast.unparse, node.decorator_list):
                if each.startswith("nox.session"):
                    named = re.search(r"name='([\w-]+)'", each)
                    names.add(named[1] if named else node.name)
    return names


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.name)
def test_actions_are_pinned_by_digest_with_their_version_beside_it(path):
    used = re.findall(r"uses: (.+)", re.sub(r"(?m)^ *#.*", "", path.read_text(encoding="utf-8")))
    assert used
    for each in used:
        assert each.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_an_action_has_one_digest_everywhere():
    text = "".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, ACTION])
    used = set(re.findall(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40} # \S+)", text))
    assert len(used) == len({name for name, _ in used}), sorted(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_alone_and_each_job_has_a_limit_of_time(path):
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert "timeout-minutes" in job or "uses" in job, name
        for step in job.get("steps", ()):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_no_text_from_outside_is_put_into_a_shell():
    """GitHub pastes an expression into the script before a shell reads it: what a stranger can name goes by `env`."""
    for step in steps():
        for expression in re.findall(r"\$\{\{(.+?)\}\}", step.get("run", "")):
            assert re.fullmatch(r" matrix\.\w+ ", expression), step


def test_every_session_that_is_run_exists():
    text = "".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, ACTION, ROOT / ".ci" / "run"])
    named = {
        word for line in re.findall(r"nox .*?-s ([\w. -]+?)(?: --|$| \")", text, re.MULTILINE) for word in line.split()
    }
    assert {"lint", "stack-main"} <= named <= sessions()


def test_the_jobs_of_tests_are_every_test_once():
    matrix = read(ROOT / ".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["include"]
    shards = {row["shard"] for row in matrix if row["session"] == "tests-full"}
    assert shards == {f"{part}/{len(shards)}" for part in range(1, len(shards) + 1)}
    assert [row["shard"] for row in matrix if row["session"] == "coverage"] == ["1/1"]
    assert '_pytest(session, "tests", "coverage"' in (ROOT / "noxfile.py").read_text(encoding="utf-8")


def test_a_release_is_built_once_and_published_without_a_secret():
    path = ROOT / ".github/workflows/release.yml"
    jobs = read(path)["jobs"]
    assert "secrets." not in path.read_text(encoding="utf-8")
    assert set(jobs["publish"]["needs"]) == {"tests", "build"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    built = [name for name, job in jobs.items() for step in job.get("steps", ()) if "-m build" in step.get("run", "")]
    assert built == ["build"]


@pytest.fixture
def problems() -> Any:
    spec = importlib.util.spec_from_file_location("check_release", ROOT / ".github" / "check_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problems


def test_a_release_has_the_version_of_its_tag_and_the_address_it_is_built_at(problems, tmp_path):
    (tmp_path / "parity/core").mkdir(parents=True)
    (tmp_path / "parity/core/version.py").write_text('"""x"""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [1.2.3] - 2026-01-01\n")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nIssues = "https://github.com/us/it/issues"\n')
    assert problems("v1.2.3", "https://github.com/us/it", tmp_path) == []
    assert problems("v1.2.4", "https://github.com/us/it", tmp_path) == [
        "the tag is v1.2.4, but parity/core/version.py has '1.2.3'"
    ]
    assert "not in https://github.com/us/i" in "".join(problems("v1.2.3", "https://github.com/us/i", tmp_path))


def test_the_address_is_the_same_wherever_it_stands(problems):
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    account = urls["Repository"].split("/")[-2]
    owners = (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8")
    assert set(re.findall(r"^/?\S+ +@([\w-]+)/", owners, re.MULTILINE)) == {account}
    assert f"uses: {account}/encdec-parity@" in ACTION.read_text(encoding="utf-8")
    repository = urls["Repository"] if urls["Repository"] != OWNER else "https://github.com/somebody/encdec-parity"
    refused = [line for line in problems("v0", repository) if "project.urls" in line]
    assert bool(refused) == (urls["Repository"] == OWNER), "a placeholder keeps a release from being made"


def test_owners_are_named_for_paths_that_exist():
    for line in (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines():
        path = line.partition(" ")[0]
        assert not path or path in ("#", "*") or (ROOT / path.strip("/")).exists(), line


@pytest.mark.parametrize(
    ("cells", "baseline", "codes"),
    [
        ([verdict()], False, (0, 0)),
        ([failure()], False, (1, 1)),
        ([failure()], True, (0, 1)),
        ([], False, (2, 2)),
    ],
    ids=["passes", "fails", "fails as in the baseline", "nothing is computed"],
)
def test_the_action_s_audit_runs_as_it_stands(tmp_path, cells, baseline, codes):
    """With an audit that leaves a report of these cells: the step's exit code, and the audit's as an output."""
    step_code, audit_code = codes
    place = {name: tmp_path / name for name in ("temp", "action", "work")}
    for folder in place.values():
        folder.mkdir()
    if cells:
        write_record(report(*cells), tmp_path / "report.json")
    if baseline:
        (tmp_path / "before").mkdir()
        write_record(report(*cells), tmp_path / "before/report.json")
        update([tmp_path / "before"], place["work"] / "baseline.json", accept_failures="as it was")
    python = place["action"] / ".nox/stacks/main/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"""#!/bin/bash
        shift 4
        echo "$@" >> {tmp_path}/calls
        if [ "$1" != audit ]; then PYTHONPATH={ROOT} exec {sys.executable} -m parity "$@"; fi
        mkdir -p {place["temp"]}/parity-run
        [ ! -f {tmp_path}/report.json ] || cp {tmp_path}/report.json {place["temp"]}/parity-run/
        exit {audit_code}
        """
    )
    python.chmod(0o755)
    (step,) = (each for each in read(ACTION)["runs"]["steps"] if each.get("name") == "Audit")
    environment = {
        **os.environ,
        "GITHUB_ACTION_PATH": str(place["action"]),
        "RUNNER_TEMP": str(place["temp"]),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "CHECKPOINTS": "one checkpoint\nowner/another\n",
        "ARGUMENTS": "--backend hf-torch",
        "STACKS": "current",
        "BASELINE": "baseline.json" if baseline else "",
    }
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    ended = subprocess.run(shell, cwd=place["work"], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == step_code, ended.stderr
    out = place["temp"] / "parity-run"
    assert (tmp_path / "output").read_text() == f"run={out}\ncode={audit_code}\n"
    audit, *others = (tmp_path / "calls").read_text().splitlines()
    assert audit == (
        f"audit one checkpoint owner/another --stack current --backend hf-torch --out {out} "
        f"--cache {place['temp']}/parity-cache"
    )
    assert [line.split()[0] for line in others] == ["export"] * bool(cells) + ["gate"] * baseline
    assert (out / "junit.xml").exists() == bool(cells)


def test_every_option_of_the_action_exists(capsys):
    text = ACTION.read_text(encoding="utf-8")
    for name in ("audit", "export", "gate"):
        assert run([name, "--help"]) == 0
        told = capsys.readouterr().out
        called = re.search(rf"parity {name} (?:.*)", text)
        assert called and all(option in told for option in re.findall(r" (--[a-z-]+)", called[0])), called


def test_the_action_uses_its_inputs_and_gives_its_outputs():
    text, action = ACTION.read_text(encoding="utf-8"), read(ACTION)
    assert set(re.findall(r"inputs\.(\w+)", text)) == set(action["inputs"])
    assert set(re.findall(r"steps\.audit\.outputs\.(\w+)", text)) == set(action["outputs"])


SERVICES = read(ROOT / "containers" / "compose.yml")["services"]


def test_there_is_a_container_for_each_stack():
    assert set(SERVICES) == set(table())


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_made_of_a_stack_s_row(name):
    arguments = SERVICES[name]["build"]["args"]
    row, main = table()[name], table()[arguments["MAIN"]]
    assert arguments["STACK"] == name
    assert "reference-torch" in main.backends, "the oracle has to run where the command does"
    for each in (row, main):
        assert arguments["PYTHON"] in SpecifierSet(each.python)
    assert set(arguments) <= set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))


def test_the_recipe_has_no_versions_of_its_own():
    """Libraries come from the table of stacks and its constraints, by the sessions that everybody else uses."""
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    assert not re.search(r"==|>=", code)
    assert "-c parity/constraints/main.txt" in code
    assert 'nox -s $(printf \'stack-%s\\n\' "$MAIN" "$STACK" | sort -u)' in code


def test_what_the_recipe_copies_is_there_and_not_ignored():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?:--\S+ )*(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == each or source.startswith(f"{each}/") for each in allowed), source


def test_the_container_s_command_is_a_shell_script():
    script = ROOT / "containers" / "parity"
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import parity.__main__", (2, "parity: needs a POSIX system; on Windows run it in WSL 2\n")),
        ("sys.modules['fcntl'] = None; import parity.capture.locks", (1, "ImportError: parity needs a POSIX system;")),
    ],
    ids=["command", "Python"],
)
def test_windows_is_refused_in_one_line(code, expected):
    code = f"import sys; sys.platform = 'win32' if '__main__' in {code!r} else sys.platform; {code}"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == expected[0] and expected[1] in ended.stderr
    assert expected[0] != 2 or ended.stderr == expected[1]
