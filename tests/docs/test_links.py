"""Links between documents resolve in a plain clone, before anything is generated, and on the site."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from docs.generate import pages, pages_of_files, with_links_of_the_site
from tests.docs.runner import ROOT

LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Files of a clone, and their folders."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    files = listed.stdout.splitlines()
    return {*files, *(str(folder) for path in files for folder in PurePosixPath(path).parents)}


def documents() -> list[str]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "reports").glob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (re.sub(r"[`*\[\]]|\(\S+\)", "", each).lower() for each in HEADING.findall(FENCED.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", each).strip().replace(" ", "-") for each in headings}


def resolved(folder: PurePosixPath, target: str) -> str:
    """A path relative to the repository; a target that leads out of it keeps its ``..``."""
    parts: list[str] = []
    for part in (folder / target).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def links(page: str, text: str) -> list[tuple[str, str]]:
    """The files that a page links to, each with an anchor or ""."""
    folder = PurePosixPath(page).parent
    found = LINK.finditer(FENCED.sub("", text))
    return [(resolved(folder, m["target"]) if m["target"] else page, m["anchor"] or "") for m in found]


@pytest.mark.parametrize("page", documents())
def test_every_link_of_a_document_resolves_in_a_clone(page, tracked):
    for file, anchor in links(page, (ROOT / page).read_text(encoding="utf-8")):
        assert file in tracked, f"{page} links to {file}"
        if anchor and file.endswith(".md"):
            assert anchor in anchors((ROOT / file).read_text(encoding="utf-8")), f"{page} links to {file}#{anchor}"


def test_every_link_of_the_site_resolves_there():
    made = pages()
    for path in sorted((ROOT / "docs").rglob("*.md")):
        made.setdefault(str(path.relative_to(ROOT / "docs")), path.read_text(encoding="utf-8"))
    for page, text in made.items():
        for file, _ in links(page, with_links_of_the_site(text)):
            assert file in made or (ROOT / "docs" / file).is_file(), f"{page} links to {file}"


def test_a_file_that_the_site_shows_is_linked_as_its_page():
    assert pages_of_files()["CONTRIBUTING.md"] == "extending.md"
    link = "[own](../CONTRIBUTING.md#a-known-issue-of-your-own), [code](../parity/api.py)"
    expected = "[own](extending.md#a-known-issue-of-your-own), [code](../parity/api.py)"
    assert with_links_of_the_site(link) == expected


def test_the_committed_pages_are_extended_and_no_part_for_a_clone_is_left():
    for page in ("checks/index.md", "known-issues/index.md"):
        text, committed = pages()[page], (ROOT / "docs" / Path(page)).read_text(encoding="utf-8")
        assert text.count("\n# ") == committed.count("# ") == 1 and len(text) > 3 * len(committed)
        assert "In the repository" in committed and "In the repository" not in text
