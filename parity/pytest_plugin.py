"""The pytest plugin: ``pytest --parity CHECKPOINT`` gives one test for each cell, and fixtures for people's own tests.

The audit runs once, before tests are collected; with pytest-xdist in the process that starts the workers, which read
its report. A known divergence is an expected failure, a missing capability is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parity.core.display import printable

if TYPE_CHECKING:
    from parity.core.records import Report, Verdict

RUN = "parity_run"
"""What a worker of pytest-xdist is told the run's directory under."""
ONLY = "parity_only"
"""… and whether cells are all there is to collect."""
RULES = "parity_rules"
"""… and the requirements that a backend was tested for."""


class CellFailed(Exception):
    """A cell that failed or is an error; its text is the block that the terminal shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parity", "parity of encoder-decoder checkpoints")
    group.addoption(
        "--parity",
        action="append",
        nargs="?",
        const="",
        metavar="CHECKPOINT",
        default=[],
        help="Audit this directory or hub id, with a test for each cell; repeat for more; without a value those of "
        "[tool.parity] in pyproject.toml. Other tests are collected only where they are named.",
    )
    group.addoption("--parity-report", metavar="REPORT", help="Collect a test for each cell of a stored report.")
    for name, meta, description in (
        ("backend", "NAME[/VARIANT],…", "Run only these backends."),
        ("check", "ID|GROUP,…", "Run only these checks."),
        ("stack", "NAME|PATH,…", "Run in these stacks too."),
        ("golden", "STACK,…", "Judge the stored reference data of these stacks too."),
    ):
        group.addoption(f"--parity-{name}", action="append", metavar=meta, default=[], help=description)
    group.addoption(
        "--parity-backend-conformance",
        action="append",
        metavar="NAME",
        default=[],
        help="Test that a third party's backend, by the name of its entry point, keeps the interface; repeat for more.",
    )
    group.addoption("--parity-known-issues", metavar="FILE", help="Read your own expected failures from a TOML file.")
    group.addoption("--parity-out", metavar="DIR", help="Write the run here. (default: runs/<UTC time>)")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    worker_input = getattr(config, "workerinput", None)  # pytest-xdist's, in its workers
    if worker_input is not None:
        config.stash[_run] = worker_input.get(RUN)
        config.stash[_only] = worker_input.get(ONLY, False)
        config.stash[_rules] = worker_input.get(RULES, [])
        return
    given = config.getoption("--parity-report")
    requested = config.getoption("--parity")
    # Whoever names files wants their tests too.
    backends = config.getoption("--parity-backend-conformance") or []
    own = bool(given or requested or backends)
    config.stash[_only] = own and config.args_source is not pytest.Config.ArgsSource.ARGS
    config.stash[_rules] = [rule for name in backends for rule in _conformance(name)]
    config.stash[_run] = str(_audited(config, requested)) if requested else given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist where the report is."""
    node.workerinput[RUN] = node.config.stash[_run]
    node.workerinput[ONLY] = node.config.stash[_only]
    node.workerinput[RULES] = node.config.stash[_rules]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if config.stash.get(_only, False) else None


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    if session.config.stash.get(_run, None):
        items += Cells.from_parent(session, name="parity", nodeid="parity").collect()
    rules = session.config.stash.get(_rules, [])
    items += [
        KeepsTheInterface.from_parent(session, name=f"{backend}::{name}", problem=problem)
        for backend, name, problem in rules
    ]


_run = pytest.StashKey[str | None]()
_only = pytest.StashKey[bool]()
_rules = pytest.StashKey[list[list[str]]]()


class KeepsTheInterface(pytest.Item):
    """One requirement of the interface of backends (``parity.tools.conformance``)."""

    def __init__(self, *, problem: str, **given: Any) -> None:
        super().__init__(**given)
        self.problem = problem

    def runtest(self) -> None:
        if self.problem:
            raise CellFailed(printable(self.problem, 1000))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, CellFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.name.partition("::")[0]), None, self.name


def _conformance(name: str) -> list[list[str]]:
    """Backend, rule and problem of each requirement.

    Raises:
        pytest.UsageError: there is no such backend, or the references cannot run.
    """
    from parity.cli.exit_codes import is_bad_input, one_line
    from parity.tools.conformance import conformance

    try:
        return [[name, rule.name, rule.problem] for rule in conformance(name)]
    except Exception as error:
        if is_bad_input(error):
            raise pytest.UsageError(f"parity: {one_line(error)}") from error
        raise


class Cells(pytest.Collector):
    """The cells of one report."""

    def collect(self) -> list[Cell | NotRead]:
        """A test for each, in the report's order, behind those of checkpoints that could not be read."""
        report = _read(Path(self.config.stash[_run] or ""))
        seen: dict[str, int] = {}
        found: list[Cell | NotRead] = [
            NotRead.from_parent(self, name=f"unreadable#{number}", cause=each.cause)
            for number, each in enumerate(report.unreadable, 1)
        ]
        for verdict in report.verdicts:
            name = _name(verdict)
            seen[name] = seen.get(name, 0) + 1
            name += f"#{seen[name]}" if seen[name] > 1 else ""
            found.append(Cell.from_parent(self, name=name, verdict=verdict))
        return found


class NotRead(pytest.Item):
    """A checkpoint that was named beside others and could not be read: it fails."""

    def __init__(self, *, cause: str, **given: Any) -> None:
        super().__init__(**given)
        self.cause = cause

    def runtest(self) -> None:
        raise CellFailed(printable(self.cause, 1000))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, CellFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path("parity"), None, self.name


class Cell(pytest.Item):
    """One cell: a claim about one backend's answer to one case."""

    def __init__(self, *, verdict: Verdict, **given: Any) -> None:
        super().__init__(**given)
        self.verdict = verdict

    def runtest(self) -> None:
        from parity.core.display import sentence

        status, reason = self.verdict.status, sentence(self.verdict.reason)
        if status == "skip":
            pytest.skip(reason)
        if status == "known":
            pytest.xfail(reason)
        if status != "pass":
            raise CellFailed(_block([self.verdict]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, CellFailed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.name.partition("::")[0]), None, self.name


@pytest.fixture(scope="session")
def parity_audit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """Audits a checkpoint into a temporary directory of this session and returns the report.

    Options and errors are those of ``parity.audit``; a failure is part of the report.

    >>> def test_no_hidden_state_diverges(parity_audit):
    ...     report = parity_audit("path/to/checkpoint", backends=["hf-torch"], checks=["NUM01"])
    ...     assert not report.failures
    """

    def run(checkpoint: str | Path, **options: Any) -> Report:
        from parity import api

        return api.audit([checkpoint], **{"out": tmp_path_factory.mktemp("parity"), **options})

    return run


@pytest.fixture(scope="session")
def assert_parity(
    parity_audit: Callable[..., Report], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Report]:
    """Audits a checkpoint, or a model of your own, and fails the test where ``parity audit`` would not exit with 0.

    The test fails with the text that the terminal shows: a block for each group of failures and the verdict, what could
    not run, or the line about input that cannot be used. Options are those of ``parity.audit``; with ``model`` those
    of ``parity.check``. The report is returned.

    >>> def test_my_checkpoint(assert_parity):
    ...     assert_parity("path/to/checkpoint", backends=["hf-torch"], checks=["numbers"])
    >>> def test_my_model(assert_parity):
    ...     assert_parity(model=MyModel.load("path/to/checkpoint"), checkpoint="path/to/checkpoint")
    """

    def check(checkpoint: str | Path, *, model: Any = None, **options: Any) -> Report:
        __tracebackhide__ = True
        from parity.cli.exit_codes import is_bad_input, one_line

        try:
            if model is None:
                report = parity_audit(checkpoint, **options)
            else:
                from parity.own_model import check as checked

                report = checked(model, checkpoint, **{"out": tmp_path_factory.mktemp("parity"), **options})
        except Exception as error:
            if not is_bad_input(error):
                raise
            why = f"parity: {one_line(error)}"
        else:
            if not report.exit_code:
                return report
            why = _why(report)
        # Outside of the handler, or pytest would show the traceback of the error as well.
        pytest.fail(why, pytrace=False)

    return check


def _why(report: Report) -> str:
    """Why an audit's exit code is not 0, as the terminal shows it."""
    from parity.core.display import shown
    from parity.report.terminal import last_lines

    report = shown(report)
    wrong = [verdict for verdict in report.verdicts if verdict.status in ("fail", "error")]
    missing = [f"unread: {each.cause}" for each in report.unreadable] + [f"not run: {line}" for line in report.not_run]
    if not (wrong or missing):
        missing = ["nothing was compared: every cell is skipped"]
    return "\n\n".join([*([_block(wrong)] if wrong else []), *missing, *(line.plain for line in last_lines(report))])


def _audited(config: pytest.Config, checkpoints: list[str]) -> Path:
    """Runs the audit and returns the run directory.

    Raises:
        pytest.UsageError: bad input, in one line that names it.
    """
    from parity.core.own_reference import ReferenceHidden

    try:
        from parity import AuditOptions, api
    except ReferenceHidden as error:
        raise pytest.UsageError(f"parity: {error}") from error
    import typer

    from parity.cli.exit_codes import is_bad_input, one_line
    from parity.cli.options import split_commas
    from parity.core.options import with_main
    from parity.core.project_config import ProjectConfig, find_project, read_project
    from parity.report.progress import Progress

    def given(name: str) -> Any:
        value = config.getoption(f"--parity-{name}") or None
        try:
            return split_commas(value) if isinstance(value, list) else value
        except typer.BadParameter as error:
            raise pytest.UsageError(f"parity: --parity-{name}: {error.message}") from error

    try:
        path = find_project(config.invocation_params.dir)
        project = read_project(path) if path is not None else ProjectConfig()
        named = {
            "backends": given("backend"),
            "checks": given("check"),
            "stacks": given("stack"),
            "goldens": given("golden"),
            "known_issues": given("known-issues"),
        }
        requested = project.options() | {name: value for name, value in named.items() if value is not None}
        options = AuditOptions(**{**requested, "out": given("out"), "stacks": with_main(requested.get("stacks", ()))})
        checkpoints = [each for each in checkpoints if each] or project.checkpoints
        if not checkpoints:
            raise pytest.UsageError("parity: --parity names no checkpoint, and no [tool.parity] has one")
        with Progress() as progress:
            report = api.audit(checkpoints, options, progress=progress)
    except Exception as error:
        if is_bad_input(error):
            raise pytest.UsageError(f"parity: {one_line(error)}") from error
        raise
    assert report.directory is not None
    return report.directory


def _read(path: Path) -> Report:
    from parity.cli.exit_codes import one_line
    from parity.core.records import RecordError, Report, read_record, report_file

    try:
        return read_record(Report, report_file(path))
    except RecordError as error:
        raise pytest.UsageError(f"parity: {one_line(error)}") from error


def _name(verdict: Verdict) -> str:
    """``bart-odd::hf-torch/sdpa::NUM01[forward-float32-cpu]``."""
    from parity.core.display import printable

    where = f"{verdict.case}-{verdict.dtype}-{verdict.device}"
    return printable(f"{verdict.checkpoint}::{verdict.subject_label}::{verdict.check}[{where}]", 1000)


def _block(verdicts: list[Verdict]) -> str:
    def blocks() -> Iterator[str]:
        from parity.core.display import shown
        from parity.report.failures import block, groups, usual_causes
        from parity.report.terminal import likely_cause

        found = groups(shown(verdicts))
        for group, cause in zip(found, usual_causes(found, likely_cause), strict=True):
            yield block(group, *cause).plain

    return "\n\n".join(blocks())
