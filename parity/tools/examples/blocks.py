"""Classifies a block of code: a session, a script, a signature, shell, or unreadable with a reason."""

from __future__ import annotations

import ast
import codeop
import doctest
import re
import textwrap
import warnings
from collections.abc import Iterator

from parity.tools.examples.markdown_escapes import repair_markdown
from parity.tools.examples.model import Block, Statement

PYTHON = {"py", "python", "python3", "pycon", "py3", "ipython"}
SHELL = {"bash", "sh", "shell", "console", "zsh", "shell-session", "cmd", "powershell"}
COMMAND = re.compile(r"\s*(\$ |!|%|pip3? |python3? -|transformers(-cli)? |conda |git |cd |echo |curl |export )")
OPTIONS = ("IGNORE_RESULT", "NUMBER")
"""Options of other projects' doctests; statements that use them can only be parsed if they are registered."""
FENCE = re.compile(r"\s+(```|~~~)(.*)")
LONGEST = 400
"""Maximum number of lines of an unfenced script."""
for _name in OPTIONS:
    doctest.register_optionflag(_name)


def fenced_block(content: str, info: str, line: int, *, scarred: bool) -> Block:
    """The block of a fence.

    Args:
        content: the text between the fences.
        info: the text after the opening fence.
        line: the line of the page where the content begins.
    """
    words = re.split(r"[\s,{]+", info.strip().lower())
    return classify(content, words[0], line, scarred=scarred)


def classify(content: str, language: str, line: int, *, scarred: bool = False, fenced: bool = True) -> Block:
    """Classifies a block and splits it into statements."""
    if not content.strip():
        return Block("unreadable", line, reason="empty")
    if re.search(r"^\s*>>>", content, re.MULTILINE):
        return _session(content, line, scarred=scarred, fenced=fenced)
    if is_signature(content):
        return Block("signature", line)
    if language in SHELL or all(COMMAND.match(each) for each in content.splitlines() if each.strip()):
        return Block("shell", line)
    if language and language not in PYTHON:
        return Block("unreadable", line, reason=f"{language}, not Python")
    content, notes = repair_markdown(textwrap.dedent(content)) if scarred else (textwrap.dedent(content), ())
    problem = _syntax_problem(content)
    if problem and not language:
        return Block("unreadable", line, reason=f"neither Python nor a command: {problem}")
    return Block("script", line, tuple(_script(content, line)), notes=notes)


def is_signature(content: str) -> bool:
    """Whether this is only a call signature: ``( input_ids: LongTensor = None **kwargs ) → …``."""
    text = content.strip()
    if not text.startswith("(") or "\n\n" in text or ")" not in text:
        return False
    try:
        tree = parse(text)
    except SyntaxError:
        return True
    return not any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _session(content: str, line: int, *, scarred: bool, fenced: bool) -> Block:
    try:
        examples = doctest.DocTestParser().get_examples(content)
    except ValueError as error:
        # The parser's messages count lines from 1 and call every text a docstring.
        return Block(
            "unreadable", line, reason=re.sub(r"^line (\d+) of the docstring for \S+ ", r"line \1 ", str(error))
        )
    statements, notes = [], dict.fromkeys(())
    for example in examples:
        code, mended = repair_markdown(example.source) if scarred else (example.source, ())
        notes |= dict.fromkeys(mended)
        shown = "" if doctest.OPTIONFLAGS_BY_NAME["IGNORE_RESULT"] in example.options else example.want
        if shown and all(each.lstrip().startswith("#") for each in shown.splitlines()):
            shown, notes = "", notes | {"a comment without >>> where output stands is taken for a comment": None}
        if shown and not fenced and _shows_nothing(code):
            shown, notes = "", notes | {"prose that stands directly below an assignment is taken for prose": None}
        statements.append(Statement(code, shown, line + example.lineno))
    if not statements:
        return Block("unreadable", line, reason="only comments")
    return Block("session", line, tuple(statements), notes=tuple(notes))


def _shows_nothing(code: str) -> bool:
    """Whether it is an assignment or an import: without fences, the text below may be the next paragraph."""
    try:
        return all(isinstance(node, ast.Assign | ast.Import | ast.ImportFrom) for node in parse(code).body)
    except SyntaxError:
        return False


def last_line(node: ast.stmt | ast.expr | ast.keyword) -> int:
    """The last line of a parsed node; the first line for a node without ``end_lineno``, which the parser did not
    create."""
    return node.lineno if node.end_lineno is None else node.end_lineno


def _script(content: str, line: int) -> Iterator[Statement]:
    """The top-level statements; those on one line together. Invalid Python is one statement, which fails when it is
    run."""
    try:
        body = parse(content).body
    except SyntaxError:
        yield Statement(content, "", line)
        return
    spans: list[tuple[int, int]] = []
    for node in body:
        begin = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        if spans and begin == spans[-1][1]:  # after a semicolon
            begin, _ = spans.pop()
        spans.append((begin, last_line(node)))
    lines = content.splitlines(keepends=True)
    for begin, end in spans:
        yield Statement("".join(lines[begin - 1 : end]), "", line + begin - 1)


def parse(text: str) -> ast.Module:
    """Python's own parser, with its warnings suppressed.

    Raises:
        SyntaxError: the text is not Python, or exceeds a limit of the parser.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or type(error).__name__) from error


def _syntax_problem(text: str) -> str:
    try:
        parse(text)
    except SyntaxError as error:
        return str(error)
    return ""


def unfenced_blocks(lines: list[str], *, scarred: bool) -> Iterator[Block]:
    """Finds code in text without fences: sessions by ``>>>``, scripts by what parses, signatures by their form."""
    at = 0
    while at < len(lines):
        end = at + 1
        if fence := FENCE.match(lines[at]):
            # Indented more than Markdown allows, because a docstring has an indentation of its own.
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == fence[1]), len(lines)) + 1
            content = textwrap.dedent("\n".join(lines[at + 1 : end - 1]) + "\n")
            yield fenced_block(content, fence[2], at + 2, scarred=scarred)
        elif lines[at].lstrip().startswith(">>>"):
            end = _end_of_session(lines, at)
            yield classify("\n".join(lines[at:end]) + "\n", "", at + 1, scarred=scarred, fenced=False)
        elif lines[at].startswith("( ") and is_signature(lines[at]):
            yield Block("signature", at + 1)
        elif _begins_script(lines[at]) and (found := _end_of_script(lines, at)):
            end = found
            yield classify("\n".join(lines[at:end]) + "\n", "python", at + 1, scarred=scarred)
        at = end


def _end_of_session(lines: list[str], begin: int) -> int:
    """The end of a session: the first paragraph that does not begin with a prompt."""
    end = begin
    for at in range(begin, len(lines)):
        if not lines[at].strip():
            continue
        if at > begin and not lines[at - 1].strip() and not lines[at].lstrip().startswith((">>>", "...")):
            break
        end = at + 1
    return end


BEGINNING = re.compile(
    r"from [\w.]+ import |import \w|@\w|(def|class) \w.*:$|with .+:$|for .+ in .+:$|[\w., ]+ = |print\("
)


def _begins_script(line: str) -> bool:
    """Whether a line of text can be the first of a script: an import, an assignment, a block; a call may be prose."""
    if not BEGINNING.match(line):
        return False
    try:
        _compiled(line)
    except SyntaxError:
        return False
    return True


def _end_of_script(lines: list[str], begin: int) -> int:
    """The line after the last one up to which the text is complete Python; 0 if there is none.

    A single word of prose on a line is Python too (``Notes``): at the end of a script it counts as prose.
    """
    end = 0
    for at in range(begin, min(len(lines), begin + LONGEST)):
        try:
            if _compiled("\n".join(lines[begin : at + 1])):
                end = at + 1
        except SyntaxError:
            break
    if not end:
        return 0
    try:
        # With the line end that completed it: a backslash may precede it.
        body = parse("\n".join(lines[begin:end]) + "\n").body
    except SyntaxError:  # it compiles, but is nested too deeply for a tree of objects
        return 0
    while body and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call | ast.Await):
        body.pop()
    return begin + last_line(body[-1]) if body else 0


def _compiled(text: str) -> bool:
    """Whether the code is complete; raises SyntaxError where no continuation can make it valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return codeop.compile_command(text + "\n", symbol="exec") is not None
        except (ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error)) from error
