"""What a block of code is taken for, and what its statements are, whatever a page looks like."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parity.tools.examples.pages import PageError, blocks_of, mend_encoding, read_page

SESSION = ">>> x = 1\n>>> # a comment\n>>> x\n1\n"


def kinds(text: str, *, scarred: bool = False) -> list[tuple[str, int]]:
    return [(block.kind, len(block.statements)) for block in blocks_of(text, scarred=scarred)]


@pytest.mark.parametrize("fence", ["```py", "```python", "```", "~~~pycon"])
def test_a_session_between_fences_has_a_statement_for_each_prompt(fence):
    (block,) = blocks_of(f"# Title\n\n{fence}\n{SESSION}{fence[:3]}\n")
    assert [(each.code, each.expected, each.line) for each in block.statements] == [
        ("x = 1\n", "", 4),
        ("x\n", "1\n", 6),
    ]


def test_a_fence_deeper_than_markdown_allows_is_one_all_the_same():
    (block,) = blocks_of("Example:\n\n        ```python\n        >>> f()\n        3\n        ```\n\n    More.\n")
    assert [(each.code, each.expected, each.line) for each in block.statements] == [("f()\n", "3\n", 4)]


def test_a_comment_where_output_stands_is_a_comment():
    (block,) = blocks_of("```py\n>>> x = f()\n# Assert something?\n```\n")
    assert block.statements[0].expected == ""
    assert block.notes == ("a comment without >>> where output stands is taken for a comment",)


def test_a_result_that_the_document_says_to_ignore_is_not_compared():
    (block,) = blocks_of("```py\n>>> f()  # doctest: +IGNORE_RESULT\n3\n```\n")
    assert block.statements[0].expected == ""


def test_fences_inside_lists_are_found():
    assert kinds("+   item\n\n    ```py\n    >>> 1\n    1\n    ```\n") == [("session", 1)]


def test_a_script_has_a_statement_for_each_of_its_top_level():
    (block,) = blocks_of("```py\nimport os\n\n@f\ndef g():\n    pass\nx = (1,\n  2)\n```\n")
    assert [(each.code, each.line) for each in block.statements] == [
        ("import os\n", 2),
        ("@f\ndef g():\n    pass\n", 4),
        ("x = (1,\n  2)\n", 7),
    ]


RST = """\
Title
=====

.. note::

   Prose, and in it:

   .. code-block:: python
      :linenos:

      import math
      assert math.pi > 3

.. code-block:: console

   $ pip install x
   Collecting x

>>> 1 + 1
2

Literally::

    x = 5

    def f():
        return x
And at once::

  no = = code

Nothing below::

.. doctest::

   >>> x
   5
"""


def test_restructured_text_marks_code_by_directives_and_by_colons(tmp_path):
    path = tmp_path / "page.rst"
    path.write_text(RST, encoding="utf-8")
    found = [(each.kind, [(one.code, one.line) for one in each.statements]) for each in read_page(path).blocks]
    assert found == [
        ("script", [("import math\n", 11), ("assert math.pi > 3\n", 12)]),
        ("shell", []),
        ("session", [("1 + 1\n", 19)]),
        ("script", [("x = 5\n", 24), ("def f():\n    return x\n", 26)]),
        ("unreadable", []),
        # A block that ends at once moves what stands below it by a line.
        ("session", [("x\n", 37)]),
    ]
    assert [each.line for each in blocks_of(RST)] == [19, 36]


def test_a_python_file_is_one_script_and_one_with_prompts_a_text(tmp_path):
    path = tmp_path / "page.py"
    path.write_text('"""Text."""\nprint(1)\nif True:\n    x = 2\n', encoding="utf-8")
    (block,) = read_page(path).blocks
    assert (block.kind, [each.line for each in block.statements]) == ("script", [1, 2, 3])
    path.write_text('def f():\n    """Text.\n\n    >>> f()\n    """\n', encoding="utf-8")
    assert [each.kind for each in read_page(path).blocks] == ["session"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("https://huggingface.co/docs/bart", "an address; save the page, and name its file"),
        (".", "a folder; name the pages in it"),
        ("some.ipynb", "a notebook, each cell of which needs those before it; make it one script: jupyter nbconvert"),
    ],
)
def test_what_is_no_page_is_told_with_what_to_do(name, told):
    with pytest.raises(PageError, match=re.escape(told)):
        read_page(Path(name))


def test_what_stands_behind_a_semicolon_is_of_the_same_statement():
    (block,) = blocks_of("```py\nx = 1; x += 1\nf(\n  x); y = 2\nz = 3\n```\n")
    assert [(each.code, each.line) for each in block.statements] == [
        ("x = 1; x += 1\n", 2),
        ("f(\n  x); y = 2\n", 3),
        ("z = 3\n", 5),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "( **kwargs )",
        "( tokens )",
        "( a: List b: Optional = None ) → x.y = 'undefined';List[int]",
        "( config )",
        "( input_ids: LongTensor = None **kwargs ) → transformers.Output or tuple(torch.FloatTensor)",
    ],
)
def test_signatures_are_no_code(text):
    assert kinds(f"```py\n{text}\n```\n") == [("signature", 0)]
    assert kinds(f"word\n\n{text}\n\nword\n") == [("signature", 0)]


def test_what_the_parser_cannot_hold_is_told(tmp_path):
    (block,) = blocks_of("```\n" + "(" * 100_000 + ")" * 100_000 + "\n```\n")
    assert block.kind in ("signature", "unreadable")


def test_a_call_in_parentheses_is_code():
    assert kinds("```py\n(f(1))\n```\n") == [("script", 1)]


@pytest.mark.parametrize("text", ["```bash\nls\n```", "```\n$ ls\n```", "```\npip install transformers\n```"])
def test_shell(text):
    assert kinds(text) == [("shell", 0)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```json\n{}\n```", "json, not Python"),
        ("```py\n```", "empty"),
        ("```\na b c\n```", "neither Python nor a command: invalid syntax"),
        ("```py\n>>> # nothing\n```", "only comments"),
        ("```py\n>>>x = 1\n```", "lacks blank after >>>"),
    ],
)
def test_what_cannot_be_read_says_why(text, reason):
    (block,) = blocks_of(text)
    assert block.kind == "unreadable"
    assert reason in block.reason


def test_python_that_does_not_parse_is_run_so_that_it_can_fail():
    (block,) = blocks_of("```py\nx = = 1\n```\n")
    assert (block.kind, [each.code for each in block.statements]) == ("script", ["x = = 1\n"])


def test_sessions_in_text_without_fences_end_where_prose_begins():
    text = f"Intro\n\n{SESSION}\n>>> x + 1\n2\n\n後の文章\n\n>>> y\n"
    assert kinds(text) == [("session", 3), ("session", 1)]


def test_prose_directly_below_an_assignment_is_prose_where_there_are_no_fences():
    (block,) = blocks_of("Intro\n\n>>> x = f()\nTensorFlow\n\nMore\n")
    assert [each.expected for each in block.statements] == [""]
    assert block.notes
    (fenced,) = blocks_of("```\n>>> x = f()\nshown\n```\n")
    assert [each.expected for each in fenced.statements] == ["shown\n"]


def test_scripts_in_text_without_fences():
    text = "Read this.\nfrom os import path\n\n\nx = path.join(\n    'a',\n    'b',\n)\nprint(x)\n\nNotes\n\n  • [x]\n"
    (block,) = blocks_of(text)
    assert (block.kind, block.line, [each.line for each in block.statements]) == ("script", 2, [2, 5, 9])


@pytest.mark.parametrize(
    "prose",
    ["a.modeling_outputs.Output(torch.FloatTensor)", "import duties are high", "for example:", "Notes", "a = b is"],
)
def test_prose_is_no_script(prose):
    assert kinds(f"Title\n\n{prose}\n\nMore.\n") == []


def test_backslashes_of_a_translation_are_taken_out_and_said():
    (block,) = blocks_of('```py\n>>> t = "in 1930\\. It\\n"\n```\n', scarred=True)
    assert block.statements[0].code == 't = "in 1930. It\\n"\n'
    assert block.notes
    (untouched,) = blocks_of('```py\n>>> t = r"\\."\n```\n', scarred=True)
    assert untouched.statements[0].code == 't = r"\\."\n'
    assert not untouched.notes


def test_utf8_that_went_through_windows_1252_is_put_right():
    text = "概述 → “Ünïcode” à"
    spoilt = "".join(
        bytes([each]).decode("cp1252") if each not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(each)
        for each in text.encode()
    )
    assert spoilt != text
    assert mend_encoding(spoilt)[0] == text


def test_text_that_is_right_stays_as_it_is():
    text = "café “quoted” – 概述 ©"
    assert mend_encoding(text) == (text, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\x89PNG\r\n\x1a\n\0\0", "not text: byte 0x89 at 0"), (b"a\0b", "not text: a zero byte at 1")],
)
def test_a_page_that_is_no_text(tmp_path, content, message):
    path = tmp_path / "page.md"
    path.write_bytes(content)
    with pytest.raises(PageError, match=message):
        read_page(path)


def test_a_page_that_is_not_there(tmp_path):
    with pytest.raises(PageError, match=r"page\.md: cannot be read: no such file"):
        read_page(tmp_path / "page.md")


def test_utf16_and_windows_line_ends(tmp_path):
    path = tmp_path / "page.txt"
    path.write_bytes(SESSION.replace("\n", "\r\n").encode("utf-16"))
    assert [block.kind for block in read_page(path).blocks] == ["session"]
