"""The table of a fleet: a row for each cell, a Parquet file for each checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from parity.core.errors import InputError
from parity.core.records import Manifest, RecordError, Report
from parity.tools.gate.report_digest import VerdictSummary, versions_of

TEXTS = (
    "checkpoint",
    "revision",
    "class",
    "check",
    "case",
    "stack",
    "backend",
    "variant",
    "device",
    "dtype",
    "verdict",
    "first_divergence",
    "known_issue",
    "reason",
    "versions",
)
NUMBERS = ("ratio", "seconds")
COLUMNS = (*TEXTS[:11], "ratio", *TEXTS[11:], "seconds")
"""``class`` is the library's class. ``ratio`` is the error as a multiple of tolerance, null without a number.
``versions`` is JSON, of the cell's stack. ``seconds`` is the time of its trace, which all checks of a case share."""


def rows_of(report: Report, manifest: Manifest, checkpoint: str, revision: str) -> list[dict[str, Any]]:
    """The rows of one audit.

    Args:
        report: of one checkpoint.
        manifest: of the same run; it has the times.
        checkpoint, revision: as the table names them.
    """
    versions = {stack: json.dumps(versions_of(facts), sort_keys=True) for stack, facts in report.environments.items()}
    took = {
        (each.backend, each.variant, each.stack, each.device, each.dtype, each.model_class, trace.case): trace.seconds
        for trace in manifest.traces
        for each in [manifest.subjects[trace.subject]]
        if each.role in ("candidate", "file")
    }
    rows = []
    for cell in report.verdicts:
        about = (cell.backend, cell.variant, cell.stack, cell.device, cell.dtype, cell.model_class, cell.case)
        rows.append(
            {
                "checkpoint": checkpoint,
                "revision": revision,
                "class": cell.model_class,
                "check": cell.check,
                "case": cell.case,
                "stack": cell.stack,
                "backend": cell.backend,
                "variant": cell.variant,
                "device": cell.device,
                "dtype": cell.dtype,
                "verdict": cell.status,
                "ratio": cell.ratio,
                "first_divergence": cell.first_divergence.tensor if cell.first_divergence else None,
                "known_issue": cell.evidence.get("known_issue") if cell.status == "known" else None,
                "reason": cell.reason,
                "versions": versions.get(cell.stack, "{}"),
                "seconds": took.get(about, 0.0),
            }
        )
    return rows


def table_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A checkpoint's rows as a Parquet file.

    Raises:
        InputError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    columns = {name: [_text(row[name]) if name in TEXTS else row[name] for row in rows] for name in COLUMNS}
    table = arrow.table(columns, schema=_schema())
    content = arrow.BufferOutputStream()
    parquet.write_table(table, content, compression="zstd")
    return content.getvalue().to_pybytes()


def rows_in(content: bytes, path: str) -> list[dict[str, Any]]:
    """The rows of one file.

    Args:
        path: of the file, for messages.

    Raises:
        InputError: pyarrow is not installed.
        RecordError: the file is damaged or has other columns.
    """
    arrow, parquet = _pyarrow()
    try:
        table = parquet.ParquetFile(arrow.BufferReader(content)).read()
    except (OSError, arrow.ArrowException) as error:
        raise RecordError(f"{path}: cannot be read: {str(error).strip().splitlines()[0]}") from error
    if not table.schema.equals(_schema()):
        raise RecordError(f"{path}: not the columns of a fleet's table")
    return table.to_pylist()


def verdict_of(row: Mapping[str, Any], checkpoint: str) -> VerdictSummary:
    """A row as the gate compares it.

    Args:
        checkpoint: the name that tells it from others.
    """
    first = row["first_divergence"]
    return VerdictSummary.model_validate(
        {
            "checkpoint": checkpoint,
            "model_class": row["class"],
            "status": row["verdict"],
            # The gate takes the error as a multiple of tolerance.
            "error": row["ratio"],
            "tolerance": None if row["ratio"] is None else 1.0,
            "first_divergence": None if first is None else {"tensor": first},
            "evidence": {"known_issue": row["known_issue"] or ""},
            **{name: row[name] for name in ("check", "case", "backend", "variant", "stack", "device", "dtype")},
            "reason": row["reason"],
        }
    )


@cache
def _schema() -> Any:
    arrow, _ = _pyarrow()
    return arrow.schema([(name, arrow.float64() if name in NUMBERS else arrow.string()) for name in COLUMNS])


def check_installed() -> None:
    """Checks that tables can be written.

    Raises:
        InputError: pyarrow is not installed.
    """
    _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("the table of a fleet needs pyarrow: pip install 'encdec-parity[ray]'") from error
    return pyarrow, pyarrow.parquet


def _text(value: str | None) -> str | None:
    """A text that UTF-8 can encode: a lone surrogate, as a file name may hold, becomes an escape."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode()
