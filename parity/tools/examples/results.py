"""The records of ``documented.json``: results of documented examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from parity.tools.examples.model import Kind

SCHEMA_VERSION = 1
Status = Literal["holds", "breaks", "differs", "not compared", "not reached", "not run"]
"""``not compared``: it ran, but the documented value depends on weights that are not available; ``not reached``: an
earlier statement raised."""
Mode = Literal["stand-in", "real"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Raised(_Record):
    """An exception."""

    type: str
    message: str
    where: str = ""
    """File, line and function of the frame that raised it."""
    line: int | None = None
    """The line in the document."""
    text: str = ""

    @property
    def first_line(self) -> str:
        line = (self.message.strip().splitlines() or [""])[0]
        return re.sub(r"/\S*/(?=site-packages/)", "", line)[:300]


class StatementResult(_Record):
    """One statement in one stack."""

    line: int
    code: str
    expected: str
    status: Status
    reason: str = ""
    got: str = ""
    raised: Raised | None = None
    seconds: float = 0.0


class ExampleResult(_Record):
    """One example in one stack. Its status is the worst of its statements'."""

    name: str
    source: str
    stack: str
    line: int
    status: Status
    reason: str = ""
    """The reason of the statement that determined the status."""
    diagnosis: str = ""
    """What is wrong with a broken example, in one line."""
    corrected: str = ""
    """The corrected line, where the correction is clear."""
    mended: Status | None = None
    """The status of the example with the correction."""
    mended_reason: str = ""
    """The reason for that status, where it is not that it holds."""
    needs: list[str] = Field(default_factory=list)
    """Checkpoints and data sets that it loads."""
    wrote_outside: list[str] = Field(default_factory=list)
    """Files outside its scratch folder that it wrote through Python."""
    seconds: float = 0.0
    statements: list[StatementResult]


class BlockRecord(_Record):
    """One block of code of a source, executed or not."""

    line: int
    kind: Kind
    example: str | None = None
    """The example's name, if it is executed."""
    statements: int = 0
    reason: str = ""
    notes: list[str] = Field(default_factory=list)


class SourceRecord(_Record):
    """A page, or the docstring of a class or method in one stack."""

    name: str
    kind: Literal["page", "docstring"]
    stack: str | None = None
    """The stack of a docstring; None for a page, which is run in every stack."""
    notes: list[str] = Field(default_factory=list)
    error: str = ""
    """Why a page cannot be read."""
    blocks: list[BlockRecord] = Field(default_factory=list)


class StackRecord(_Record):
    """One stack."""

    name: str
    python: str
    versions: dict[str, str]
    absent: dict[str, str] = Field(default_factory=dict)
    """Documented classes that it does not have, with the reasons."""


class Totals(_Record):
    """Examples and statements by stack and status."""

    examples: dict[str, dict[Status, int]]
    statements: dict[str, dict[Status, int]]


class DocsReport(_Record):
    """Everything that was found, run and judged."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    mode: Mode
    stacks: list[StackRecord]
    sources: list[SourceRecord]
    examples: list[ExampleResult]
    totals: Totals
    changed: list[str] = Field(default_factory=list)
    """What changed in the working directory and the home during the run."""
    interrupted: bool = False
    """Whether the run was stopped before every example was run."""
    seconds: float = 0.0

    @model_validator(mode="after")
    def _totals_add_up(self) -> DocsReport:
        if totals_of(self.examples) != self.totals:
            raise ValueError("totals do not add up")
        return self


def totals_of(examples: Iterable[ExampleResult]) -> Totals:
    """Counts examples and statements by stack and status."""
    by_example: dict[str, Counter[Status]] = {}
    by_statement: dict[str, Counter[Status]] = {}
    for example in examples:
        by_example.setdefault(example.stack, Counter())[example.status] += 1
        by_statement.setdefault(example.stack, Counter()).update(each.status for each in example.statements)
    return Totals(
        examples={stack: dict(counts) for stack, counts in by_example.items()},
        statements={stack: dict(counts) for stack, counts in by_statement.items()},
    )
