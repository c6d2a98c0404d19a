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


class CellFailed(Exception):
    """A cell that failed or is an error; its text is the block that the terminal shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parity", "parity of encoder-decoder checkpoints")
    group.addoption(
        "--parity",
        action="append",
        metavar="CHECKPOINT",
        default=[],
        help="Audit this directory or hub id, a test for each cell; repeat for more. Other tests are "
        "collected only where they are named.",
    )
    group.addoption("--parity-report", metavar="REPORT", help="A test for each cell of a report that is there already.")
    for name, meta, told in (
        ("backend", "NAME[/VARIANT]", "Only this backend; repeat for more."),
        ("check", "ID|GROUP", "Only this check; repeat for more."),
        ("stack", "NAME|PATH", "Adds a stack; repeat for more."),
        ("golden", "STACK", "Judge this stack's kept answers too."),
    ):
        group.addoption(f"--parity-{name}", action="append", metavar=meta, default=[], help=told)
    group.addoption(
        "--parity-known-issues", metavar="FILE", help="Your own expected failures, in the format of known issues."
    )
    group.addoption("--parity-out", metavar="DIR", help="The run's directory. (default: runs/<UTC time>)")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    told = getattr(config, "workerinput", None)  # pytest-xdist's, in its workers
    if told is not None:
        config.stash[_run] = told.get(RUN)
        config.stash[_only] = told.get(ONLY, False)
        return
    given = config.getoption("--parity-report")
    asked = config.getoption("--parity")
    # Whoever names files wants their tests too.
    config.stash[_only] = bool(given or asked) and config.args_source is not pytest.Config.ArgsSource.ARGS
    config.stash[_run] = str(_audited(config, asked)) if asked else given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist where the report is."""
    node.workerinput[RUN] = node.config.stash[_run]
    node.workerinput[ONLY] = node.config.stash[_only]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return True if config.stash.get(_only, False) else None


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    if session.config.stash.get(_run, None):
        items += Cells.from_parent(session, name="parity", nodeid="parity").collect()


_run = pytest.StashKey[str | None]()
_only = pytest.StashKey[bool]()


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
    """Audits a checkpoint as ``parity.audit`` does, into a directory of this session; gives the report."""

    def run(checkpoint: str | Path, **options: Any) -> Report:
        from parity import api

        return api.audit([checkpoint], **{"out": tmp_path_factory.mktemp("parity"), **options})

    return run


@pytest.fixture(scope="session")
def assert_parity(parity_audit: Callable[..., Report]) -> Callable[..., Report]:
    """Audits a checkpoint and fails the test with a block for each way in which a cell fails.

    >>> def test_my_checkpoint(assert_parity):
    ...     assert_parity("path/to/checkpoint", backends=["hf-torch"], checks=["numbers"])
    """

    def check(checkpoint: str | Path, **options: Any) -> Report:
        __tracebackhide__ = True
        report = parity_audit(checkpoint, **options)
        wrong = [verdict for verdict in report.verdicts if verdict.status in ("fail", "error")]
        if wrong:
            pytest.fail(_block(wrong), pytrace=False)
        if not (report.totals.passed or report.totals.known):
            from parity.core.display import printable

            pytest.fail(f"{printable(checkpoint)}: nothing could be asked, every cell is skipped", pytrace=False)
        return report

    return check


def _audited(config: pytest.Config, checkpoints: list[str]) -> Path:
    """Runs the audit and gives its directory.

    Raises:
        pytest.UsageError: bad input, in one line that names it.
    """
    from parity import AuditOptions, api
    from parity.cli.exit_codes import is_bad_input, one_line
    from parity.core.options import with_main
    from parity.report.progress import Progress

    def given(name: str) -> Any:
        return config.getoption(f"--parity-{name}") or None

    try:
        options = AuditOptions(
            out=given("out"),
            backends=given("backend"),
            checks=given("check"),
            stacks=with_main(given("stack") or ()),
            goldens=given("golden") or (),
            known_issues=given("known-issues"),
        )
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
    from parity.report.matrix import subject_label

    where = f"{verdict.case}-{verdict.dtype}-{verdict.device}"
    return printable(f"{verdict.checkpoint}::{subject_label(verdict)}::{verdict.check}[{where}]", 1000)


def _block(verdicts: list[Verdict]) -> str:
    def blocks() -> Iterator[str]:
        from parity.core.display import shown
        from parity.report.failures import block, groups
        from parity.report.terminal import likely_cause

        for group in groups(shown(verdicts)):
            yield block(group, likely_cause(group.example.check)).plain

    return "\n\n".join(blocks())
