"""Text from outside is stored as it is and escaped where it is shown: one function, held against every output.

Each test takes a report in which every field that holds free text holds hostile text, so that a field or an output that
comes later is in it without anybody's remembering.
"""

from __future__ import annotations

import io
import json
import re
import sys
import typing
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from parity.capture.task import Event
from parity.cli.main import run
from parity.core.display import markdown, markdown_code, printable, sentence, shown
from parity.core.errors import InputError
from parity.core.records import MeasuredError, Report, Totals, Verdict, json_text, read_record, write_record
from parity.pytest_plugin import _block, _name
from parity.report import export
from parity.report.html.page import render
from parity.report.progress import Progress
from parity.report.terminal import show_report
from parity.tools.compare.compare import Compared, Comparison
from parity.tools.compare.render import show_comparison
from parity.tools.compare.tensor_diff import TensorRow
from parity.tools.examples.markdown import page
from parity.tools.examples.render import DocsProgress, show_docs
from parity.tools.examples.results import (
    BlockRecord,
    DocsReport,
    ExampleResult,
    Raised,
    SourceRecord,
    StackRecord,
    StatementResult,
    totals_of,
)
from parity.tools.gate.gate import gate, update
from parity.tools.gate.github import gate_summary
from tests import sample_reports as fabricated
from tests.profiles import examples

pytest_plugins = "pytester"

SPEAKS = (
    "\r\n::error::pwn\n  ::add-mask::x\n##[error]old\x1b[31mred\x1b]0;title\x07\x9b2J\x85\x7f\x00\t\x08\x0b\x0c"
    "\u2028::x\u2029"
    "\u202eevil\u2066\u200b\u200d\ufeff\xad\U000e0041\u3164\udfff\ud800" + "a" + "\u0301" * 40 + "\xa0"
    "[bold red]rich[/] [/] :skull: <script>alert(1)</script> \"'&amp;&#x1b; ]]> <!--part 0--> `tick` ``` |bar| "
    "*star* _under_ [link](javascript:x) ![i](http://x) $\\alpha$ ~~gone~~ %0A::error::y {{ 7*7 }} {% raw %} \\"
)
"""Something for everybody who interprets what he is shown."""
OPENS = f"::error title=x::{SPEAKS}"
"""The same at the start of a line."""


def hostile(model: type[BaseModel], **fields: Any) -> Any:
    """A record whose every field of free text is hostile; ``fields`` are those that have to be what they are."""
    made = {}
    for name, field in model.model_fields.items():
        made[field.alias or name] = fields[name] if name in fields else _value(field.annotation, name)
    return model(**made)


def _value(kind: Any, name: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is str:
        return OPENS + name
    if kind is Any:
        return {OPENS: [SPEAKS, {"deep": OPENS}]}
    if origin is typing.Literal:
        return inner[0]
    if origin is dict:
        return {_value(inner[0], name): _value(inner[1], name)}
    if origin in (list, tuple):
        return [_value(inner[0], name)]
    if origin is not None:  # a union: what says most
        return _value(max(inner, key=lambda each: each is not type(None)), name)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return hostile(kind)
    return {bool: False, int: 0, float: 0.5}[kind]


EVIDENCE = {
    "worst": {"tensor": OPENS, "measure": SPEAKS, "index": {OPENS: 3}, "actual": 1.0, "expected": 2.0},
    "reproduce": f"parity audit '{OPENS}' --inputs '{SPEAKS}'",
    "oracle_suspected": [OPENS],
    "frame": OPENS,
    "phase": OPENS,
    "layer_ratio": 2.0,
    "known_issue": OPENS,
    "severity": OPENS,
    OPENS: SPEAKS,
}


@pytest.fixture(scope="module")
def report() -> Report:
    """Verdicts of every status, of several checkpoints, two with one name but for what cannot be seen."""
    names = [OPENS, SPEAKS, f"{OPENS}\u200b", "bart-odd", f"{SPEAKS}\x1b"]
    verdicts = [
        hostile(Verdict, status=status, checkpoint=name, evidence=evidence, error=error, tolerance=1e-6)
        for name in names
        for status in ("pass", "fail", "known", "skip", "error")
        for evidence, error in ((EVIDENCE, 1.0), ({**EVIDENCE, "exception": OPENS}, None))
    ]
    role = {"role": "oracle"}
    fields = {
        "verdicts": verdicts,
        "totals": Totals(**Counter(v.status for v in verdicts)),
        "schema_version": 2,
        "checkpoints": [
            fabricated.checkpoint(name).model_copy(
                update={"path": OPENS, "digest": SPEAKS, "config": {"note": SPEAKS, OPENS: 1, "pad_token_id": 1}}
            )
            for name in names
        ],
        "environments": {
            OPENS: {
                "python": SPEAKS,
                "versions": {"transformers": OPENS, "torch": SPEAKS, OPENS: OPENS},
                "sources": {OPENS: SPEAKS},
                OPENS: [SPEAKS],
                "machine": {OPENS: SPEAKS},
            }
        },
        "subjects": [hostile(type(fabricated.subject()), **role)],
        "measured": [
            hostile(
                MeasuredError, subject=0, checkpoint=names[0], error=2.0, ratio=3.0, tolerance=1.0, noise_floor=0.3
            ),
            hostile(MeasuredError, subject=0, checkpoint=names[0], error=None),
        ],
        "generated": [
            fabricated.generated(
                0,
                [5, 6],
                "wrong",
                checkpoint=name,
                case=OPENS,
                text=SPEAKS,
                source=OPENS,
                words=[OPENS, f" {SPEAKS}"],
                marks=[{"position": 0, "kind": "wrong", "oracle_token": 6}],
            )
            for name in names
        ],
        "cases": {
            name: [{"name": OPENS, "operation": SPEAKS, "digest": OPENS, "shapes": {OPENS: [1, 2]}}] for name in names
        },
    }
    return hostile(Report, **fields)


def assert_harmless(text: str, own: str = r"\Z.", longest: int = 300_000) -> None:
    """No character controls anything but line breaks, and no line is a command to GitHub that we did not write.

    Args:
        own: how the lines begin that are commands on purpose.
        longest: characters of a line.
    """
    text.encode()
    odd = {c for c in text if not c.isprintable() and c != "\n"}
    assert not odd, f"{sorted(map(ascii, odd))}"
    assert not re.search("\u0301{4}|\u3164", text)
    for line in text.split("\n"):
        assert not line.lstrip().startswith("::") or re.match(own, line), line[:200]
        assert "##[" not in line
    assert max(map(len, text.split("\n"))) < longest


class Elements(HTMLParser):
    """Which elements, attributes and comments a page has, outside its own script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.comments: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {name for name, _ in attributes}
        self.addresses |= {value for name, value in attributes if name in ("href", "src") and value}

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def assert_no_markup(html: str) -> None:
    found = Elements(html)
    assert found.elements["script"] == 1 and not found.elements["img"] and not found.comments
    assert not any(name.startswith("on") for name in found.attributes)
    assert all(re.match(r"#|report\.json\Z", address) for address in found.addresses)


def assert_plain_markdown(text: str) -> None:
    """Whatever is hostile renders as text: there is no element, link or image that we did not write."""
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text)
    found = Elements(html)
    allowed = {
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "pre",
        "strong",
        "details",
        "summary",
    }
    assert set(found.elements) <= allowed
    assert not found.addresses and not found.comments


# --- the function ---


@examples(100)
@given(st.text(st.characters(), max_size=400))
def test_what_is_printable_is_one_harmless_line_and_stays_so(text):
    one = printable(text, 200)
    assert_harmless(one)
    assert "\n" not in one and len(one) < 240
    if len(text) <= 200 and len(one) <= 200:
        assert printable(one, 200) == one
    assert_plain_markdown(
        f"- {markdown(text)}: {markdown_code(text)}\n\n| a | b |\n|---|---|\n"
        f"| {markdown(text)} | {markdown_code(text, in_table=True)} |"
    )


@examples(100)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=100))
def test_ordinary_text_is_shown_as_it_is(text):
    plain = text.replace("##[", "").lstrip().lstrip(":")
    assert printable(plain) == plain


def test_letters_of_every_language_are_shown_as_they_are():
    for text in ("Ærøskøbing – “naïve” …", "e\u0301te\u0301", "日本語のテキスト", "Ещё раз", "עברית", "😀"):
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n::error::b", r"a\n::error::b"),
        ("::error::b", r"\x3a:error::b"),
        ("  ::error::b", r"  \x3a:error::b"),
        ("x##[error]y", r"x#\x23[error]y"),
        ("\x1b[31m\x9b\x7f", r"\x1b[31m\x9b\x7f"),
        ("\udfff", r"\udfff"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u0301x", r"\u0301x"),
        ("y" * 301, "y" * 300 + "… (301 characters)"),
        (b"\x1b\xff", r"b'\x1b\xff'"),
    ],
    ids=ascii,
)
def test_what_controls_becomes_an_escape(text, told):
    assert printable(text) == told


def test_what_cannot_say_what_it_is_costs_no_more():
    doubled: list = []
    for _ in range(60):
        doubled = [doubled, doubled]

    class Silent:
        def __str__(self) -> str:
            raise RuntimeError

    assert len(printable(doubled)) < 400
    assert printable(10**5000) == "an integer of 16,610 bits"  # whose digits Python refuses to write
    assert printable(Silent()) == "<Silent>"
    assert "Error" in sentence(ValueError("Error(s) in loading:\n\tsize mismatch")) and "\\n" not in sentence("a\nb")


def test_a_report_that_needs_no_change_is_not_copied(report):
    plain = fabricated.report(fabricated.verdict(), fabricated.failure())
    assert shown(plain) is plain
    assert shown(shown(report)) == shown(report)
    for name in Report.model_fields:
        assert json_text(shown(report).model_dump(mode="json")[name]).isprintable(), name


# --- what is stored ---


def test_what_is_stored_is_what_came(report, tmp_path):
    """Lone surrogates too, which neither UTF-8 nor pydantic's JSON can hold; and the file controls no terminal."""
    write_record(report, tmp_path / "report.json")
    assert read_record(Report, tmp_path / "report.json") == report
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]", text)
    json.loads(text)


def test_numbers_that_are_not_finite_stay_json_beside_a_surrogate(tmp_path):
    one = fabricated.report(fabricated.verdict(evidence={"note": "\udfff", "x": float("nan"), "y": [float("inf")]}))
    write_record(one, tmp_path / "report.json")
    evidence = json.loads((tmp_path / "report.json").read_text())["verdicts"][0]["evidence"]
    assert evidence == {"note": "\udfff", "x": None, "y": [None]}


# --- every output ---


LONG = f"{OPENS} é".replace("\U000e0041", "") * 30_000
"""Ten megabytes of the same; a file may hold that as a name."""


def lengthened(value: Any) -> Any:
    """The same with every hostile text ten megabytes long: one object, so that it costs no more."""
    if isinstance(value, str):
        return LONG if "\x1b" in value else value
    if isinstance(value, dict):
        return {key: lengthened(each) for key, each in value.items()}
    return [lengthened(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def endless(report: Report) -> Report:
    """One checkpoint's part of it."""
    own = report.model_copy(
        update={
            "verdicts": [v for v in report.verdicts if v.checkpoint == OPENS],
            "checkpoints": report.checkpoints[:1],
            "generated": report.generated[:1],
            "cases": {},
        }
    )
    data = lengthened(own.model_dump(by_alias=True))
    data["totals"] = Totals(**Counter(v.status for v in own.verdicts)).model_dump(by_alias=True)
    return Report.model_validate(data)


@pytest.mark.parametrize(
    ("output", "most"),
    [
        (lambda r: show_report(r, Path(OPENS)), 1 << 20),
        (render, 3 << 20),
        (export.junit, 1 << 20),
        (export.jsonl, 8 << 20),
        (lambda r: export.joined(export.annotation_lines(r)), 1 << 20),
        (export.summary, 1 << 20),
        (lambda r: f"{_block(r.verdicts)}\n{_name(r.verdicts[0])}", 1 << 20),
    ],
    ids=["terminal", "page", "junit", "jsonl", "annotations", "summary", "pytest"],
)
def test_no_output_grows_with_the_length_of_a_text(endless, output, most, capsys):
    assert len(LONG) > 10_000_000
    text = output(endless) or capsys.readouterr().out
    assert len(text) < most
    assert_harmless(text, own="::error title=[^:,\n]*::", longest=most)


def test_the_terminal(report, capsys, monkeypatch):
    for width in ("200", "79"):
        monkeypatch.setenv("COLUMNS", width)
        show_report(report, Path(OPENS))
        assert_harmless(capsys.readouterr().out)


def test_a_real_terminal_gets_no_escape_but_our_own_colours(report, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    show_report(report, Path(OPENS))
    assert "\x1b[" in terminal.getvalue()
    text = re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue())
    assert not {c for c in text if not c.isprintable() and c != "\n"}
    assert "[bold red]rich[/]" in text.replace("\n", "")


def test_the_page(report):
    html = render(report)
    assert_harmless(html)
    assert_no_markup(html)
    assert "alert(1)" in html


def test_the_packed_parts_of_a_page(report, monkeypatch):
    """What the page's script puts into it with ``insertAdjacentHTML``."""
    import base64
    import zlib

    monkeypatch.setattr("parity.report.html.parts.ROOM", 0)
    packed = re.findall(r'<script type="application/zlib">([^<]*)</script>', render(report))
    assert packed
    for part in packed:
        html = zlib.decompress(base64.b64decode(part)).decode()
        assert_harmless(html)
        assert_no_markup(f"<script></script>{html}")


def test_junit(report):
    text = export.junit(report)
    assert_harmless(text)
    root = ET.fromstring(text)
    assert len(root.findall(".//testcase")) == len(report.verdicts) + len(report.unreadable)


def test_json_lines(report):
    text = export.jsonl(report)
    assert_harmless(text)
    lines = [json.loads(line) for line in text.split("\n") if line]
    assert [line["record"] for line in lines] == ["run", *["verdict"] * len(report.verdicts), "totals"]


def test_github(report, tmp_path):
    for line in export.annotation_lines(report):
        assert_harmless(line, own="::error title=[^:,\n]*::")
    assert_harmless(export.summary(report))
    assert_plain_markdown(
        export.summary(report).replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "")
    )


@pytest.fixture
def gated(report, tmp_path):
    """A baseline in which everything passed, and today's report; both with names that speak."""
    # A cell is in a baseline once.
    once = {(v.checkpoint, v.status): v for v in report.verdicts if v.checkpoint.startswith("::")}
    now = [v.model_copy(update={"case": f"{v.case}{n}"}) for n, v in enumerate(once.values())]
    before = [v.model_copy(update={"status": "pass", "error": 1e-7, "first_divergence": None}) for v in now[:-1]]
    for name, verdicts in (("before", before), ("now", now)):
        own = {v.checkpoint for v in verdicts}
        totals = Totals(**Counter(v.status for v in verdicts))
        made = {
            "selected": [],
            "verdicts": verdicts,
            "totals": totals,
            "checkpoints": [c for c in report.checkpoints if c.name in own],
        }
        (tmp_path / name).mkdir()
        write_record(report.model_copy(update=made), tmp_path / name / "report.json")
    baseline = tmp_path / "base::line\x1b.json"
    update([tmp_path / "before"], baseline)
    return gate(tmp_path / "now", baseline), tmp_path / "now", baseline


def test_the_gate(gated, capsys):
    found, now, baseline = gated
    assert found.changes
    assert run(["gate", str(now), "--baseline", str(baseline), "--annotate"]) == 1
    assert_harmless(capsys.readouterr().out, own="::error title=gate%3A [^:,\n]*::")
    text = gate_summary(*gated)
    assert_harmless(text)
    assert_plain_markdown(text)


def test_compare(gated, capsys):
    rows = [TensorRow(name=OPENS, error=0.3, share=2.0, note=SPEAKS)]
    show_comparison(
        Comparison([Compared(OPENS, (SPEAKS, OPENS), OPENS, rows)], [OPENS], gated[0].changes, [OPENS]), True
    )
    assert_harmless(capsys.readouterr().out)


def test_progress(capsys):
    with Progress() as progress:
        for kind in ("planned", "starting", "done"):
            progress(Event(kind=kind, label=OPENS, checkpoint=SPEAKS, case=OPENS, outcome="crash", reason=OPENS))
    with DocsProgress() as progress:
        progress(OPENS, 1, 2, OPENS)
    assert_harmless(capsys.readouterr().err)


def test_documented_examples(capsys, tmp_path):
    code = f"x = 1\n{OPENS}\n\ty"
    statements = [
        hostile(StatementResult, status=status, code=code, raised=hostile(Raised))
        for status in ("breaks", "holds", "differs")
    ]
    examples_ = [
        hostile(ExampleResult, status=status, statements=statements, corrected=code, name=f"{OPENS}{status}")
        for status in ("breaks", "not run", "not compared")
    ]
    examples_ += [each.model_copy(update={"stack": "other", "status": "differs"}) for each in examples_]
    sources = [
        hostile(SourceRecord, kind=kind, blocks=[hostile(BlockRecord, kind=block)])
        for kind in ("page", "docstring")
        for block in ("unreadable", "shell")
    ]
    stacks = [hostile(StackRecord, name=f"{OPENS}stack"), hostile(StackRecord, name="other")]
    made = hostile(DocsReport, examples=examples_, totals=totals_of(examples_), sources=sources, stacks=stacks)
    show_docs(made)
    assert_harmless(capsys.readouterr().out)
    assert_harmless(page(made))
    assert_plain_markdown(page(made))
    write_record(made, tmp_path / "documented.json")
    assert DocsReport.model_validate(json.loads((tmp_path / "documented.json").read_text())) == made


def test_the_pytest_plugin(report):
    for verdict in report.verdicts:
        assert_harmless(_name(verdict))
        assert "\n" not in _name(verdict)
    assert_harmless(_block(report.verdicts))


def test_the_commands_on_a_stored_report(report, tmp_path, capsys):
    write_record(report, tmp_path / "report.json")
    stored = str(tmp_path / "report.json")
    files = {name: tmp_path / f"out\x1b.{name}" for name in ("junit", "jsonl", "summary")}
    given = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    assert run(["show", stored]) == 1
    assert run(["export", stored, "--annotate", *given]) == 0
    told = capsys.readouterr()
    assert_harmless(told.out + told.err, own="::error title=[^:,\n]*::")
    for file in files.values():
        assert_harmless(file.read_text(encoding="utf-8"))


def test_a_run_of_pytest(report, pytester):
    """The terminal in every form that it has, and pytest's own JUnit XML."""
    some = {(v.status, v.error): v for v in report.verdicts[:20]}.values()
    write_record(
        report.model_copy(update={"verdicts": list(some), "totals": Totals(**Counter(v.status for v in some))}),
        pytester.path / "report.json",
    )
    given = ["-p", "parity.pytest_plugin", "-p", "no:cacheprovider", "--parity-report", "report.json"]
    ended = pytester.runpytest_inprocess(*given, "-rA", "-vv", "--junitxml", "junit.xml")
    assert ended.ret == 1
    for stream in (ended.outlines, ended.errlines):
        assert_harmless("\n".join(stream))
    assert_harmless((pytester.path / "junit.xml").read_text(encoding="utf-8"))
    ET.parse(pytester.path / "junit.xml")


def test_an_error_is_one_harmless_line(capsys, monkeypatch, tmp_path):
    from parity import api

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for error in (InputError(OPENS), OSError(2, "No such file", OPENS), KeyError(OPENS), RuntimeError(SPEAKS)):
        monkeypatch.setattr(api, "audit", lambda *a, error=error, **o: (_ for _ in ()).throw(error))
        run(["audit", "a"])
        err = capsys.readouterr().err
        assert_harmless(err)
        assert err.count("\n") == 1 and err.startswith("parity: ")


def test_the_cache(tmp_path, capsys):
    import numpy as np

    from parity.core.trace import Trace

    folder = tmp_path / "[red]x\x1b[31m"
    trace = Trace(
        {"x": np.zeros(2, np.float32)}, provenance={"backend": "[bold]b\x1b[1m", "checkpoint": "::c\x9b\u202e"}
    )
    trace.write(folder / "traces" / "aa" / f"aa{'0' * 30}.safetensors")
    for command in ("list", "clean"):
        assert run(["cache", command, "--cache", str(folder)]) == 0
        assert_harmless(capsys.readouterr().out)


def test_the_doctor(capsys):
    from parity.core.stacks import table
    from parity.tools.doctor import Findings, StackFinding, show

    row = next(iter(table().values()))
    finding = StackFinding(row, Path(f"/bin/{OPENS}"), OPENS, "nox", {}, {"hf-torch": OPENS})
    show(Findings([finding], [OPENS], 2, 10**9, Path(OPENS), 0, 0))
    assert_harmless(capsys.readouterr().out)


def test_goldens(report, capsys):
    from parity.tools.golden.render import show_audited, show_problems

    show_audited(report)
    show_problems([SimpleNamespace(kind="missing", what=OPENS)])
    assert_harmless(capsys.readouterr().out)
