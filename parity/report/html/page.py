"""The page as a whole: its sections in order, its templates, its file."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parity.core.display import printable, shown
from parity.core.records import Report
from parity.core.resources import data
from parity.report.console import plural
from parity.report.html.errors import error_view, first_curve
from parity.report.html.findings import find
from parity.report.html.head import head_view
from parity.report.html.heat import STEPS
from parity.report.html.matrix import matrix_views
from parity.report.html.parts import Parts
from parity.report.html.provenance import provenance_view
from parity.report.html.texts import text_views
from parity.report.terminal import NOTICE_LENGTH

SHOWN_BEGINNINGS = 5
"""Places where failures begin that the page's head names."""


def render(report: Report, beside: str = "report.json") -> str:
    """The page's HTML.

    Args:
        beside: the report's file, relative to the page.
    """
    whole, report, beside = report, shown(report), printable(beside)
    findings, errors, parts = find(report), error_view(report), Parts()
    script = data("report/html/page.js").read_text(encoding="utf-8")
    page = (
        _templates()
        .get_template("page.html.jinja")
        .render(
            report=report,
            parts=parts,
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            beside=beside,
            shown_beginnings=SHOWN_BEGINNINGS,
            head=head_view(report),
            curve=first_curve(errors, [block.curve for _, block in findings.beginnings]),
            curves={subject.anchor for checkpoint in errors for subject in checkpoint.subjects},
            matrices=matrix_views(report, findings.anchors),
            findings=findings,
            errors=errors,
            heat_steps=[short(step) for step in STEPS],
            texts=text_views(whole),
            provenance=provenance_view(report),
        )
    )
    return parts.put(page)


def write_page(report: Report, path: Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    text = render(report)
    temporary = path.with_name(f".part-{path.name}")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)


@cache
def _templates() -> Environment:
    # Compiled once in a process.
    environment = environment_of(data("report/html"))
    environment.filters["breakable"] = breakable
    environment.filters["printable"] = lambda text: printable(text, NOTICE_LENGTH)
    return environment


def environment_of(*folders: Path) -> Environment:
    """Templates of these folders, with the filters that all pages use.

    Always escaped: what a model is called and what a library raised are written by others.
    """
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plural"] = plural
    environment.filters["short"] = short
    return environment


def short(number: float | None) -> str:
    """``3.1e-07``, ``0.31``, ``154``, ``8.4e+04``; a dash where there is no number."""
    if number is None:
        return "–"
    return f"{number:.0f}" if 100 <= number < 10_000 else f"{number:.2g}"


def breakable(label: str) -> Markup:
    """A subject's label that may be broken before its variant and its stack, and within the longest names."""
    return Markup("<wbr>").join(re.split(r"(?<=^reference-)|(?<=^hf-tokenizer-)|(?=[/@+])", label))
