"""What the documents show is what happens: commands, outputs, options, Python, and the list of pages."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from docs.generate import INCLUDED, pages
from parity.cli.main import run
from parity.judge.checks import CHECKS
from parity.judge.known_issues import entries
from tests.docs.runner import ROOT, blocks, comparable, prepare, run_page
from tests.end_to_end.conftest import shared_cache

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def here(tmp_path, tmp_path_factory, monkeypatch) -> dict[str, str]:
    """The environment of the commands; Python is executed in the same folder and environment."""
    environment = prepare(tmp_path, shared_cache(tmp_path_factory))
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "COLUMNS", "NO_COLOR"):
        monkeypatch.setenv(name, environment[name])
    return environment


@pytest.mark.parametrize("page", [page for page in PAGES if any(not each.full for each in blocks(page))], ids=named)
def test_blocks_that_are_marked_as_run(page, here, tmp_path):
    run_page(page, tmp_path, here, full=False)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", [page for page in PAGES if any(each.full for each in blocks(page))], ids=named)
def test_blocks_that_take_long(page, here, tmp_path):
    run_page(page, tmp_path, here, full=True)


NEEDED = sorted({(page, each.needs) for page in PAGES for each in blocks(page) if each.needs})


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("page", "package"), NEEDED, ids=lambda each: each if isinstance(each, str) else named(each))
def test_blocks_that_need_another_package(page, package, here, tmp_path):
    pytest.importorskip(package, reason=f"{package} is in no stack")
    run_page(page, tmp_path, here, full=True, package=package)


def test_numbers_of_a_run_are_not_compared_but_words_are():
    assert comparable("took 3.1 s at [batch 2, src 8], 154 × tolerance") == comparable(
        "took 1 min 04 s at [batch 0, src 1], 2.5e+06 × tolerance"
    )
    assert comparable("24 pass") != comparable("23 pass")
    assert comparable("NUM01 fail") != comparable("NUM01 pass")


def documented_commands() -> list[str]:
    """Every line of a block of code that calls the command, as it stands."""
    found = []
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            lines = (line.removeprefix("$ ") for line in block.splitlines())
            found += [line.partition("  #")[0].strip() for line in lines if re.match(r"parity [a-z]", line)]
    return sorted(set(found))


@pytest.mark.parametrize("command", documented_commands())
def test_a_command_of_the_documents_has_these_options(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(command)[1:]
    nested = words[0] in ("golden", "cache", "fleet") and len(words) > 1
    assert run([*words[: 2 if nested else 1], "--help"]) == 0
    shown = capsys.readouterr().out
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in shown, command


FILE = re.compile(r"`([\w./-]+\.(?:py|toml|json|md|yml|ipynb))`")
OF_A_CHECKPOINT = re.compile(
    r"(config|manifest|report|adapter_config|generation_config|tokenizer|tokenizer_config|documented|parity-conversion|fleet)"
    r"\.json|.*[A-Z]{4}.*"
)


def named_files() -> list[tuple[str, str]]:
    """Files that the documents name in the repository, each with the page."""
    found = ((named(page), each) for page in PAGES for each in FILE.findall(page.read_text(encoding="utf-8")))
    return sorted({(page, each) for page, each in found if not OF_A_CHECKPOINT.fullmatch(Path(each).name)})


@pytest.fixture(scope="module")
def repository() -> set[str]:
    """Every end of every path of a file: ``core/case.py`` and ``case.py`` for ``parity/core/case.py``."""
    folders = ("parity", "reference", "tests", "docs", "reports", "fixtures", "benchmarks", ".github")
    files = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*")] + [
        path.relative_to(ROOT) for path in ROOT.glob("*.*")
    ]
    return {"/".join(path.parts[start:]) for path in files for start in range(len(path.parts))}


@pytest.mark.parametrize(("page", "file"), named_files())
def test_a_file_that_a_document_names_exists(page, file, repository):
    assert file in repository, page


def test_every_check_and_every_known_issue_has_a_place():
    made = pages()
    for check in CHECKS.values():
        assert f"{{ #{check.id.lower()} }}" in made[f"checks/{check.group}.md"]
        assert f"({check.group}.md#{check.id.lower()})" in made["checks/index.md"]
    for entry in entries():
        page = made[f"known-issues/{entry.id}.md"]
        assert "**Cause.**" in page and "## Reproduction" in page
        assert f"({entry.id}.md)" in made["known-issues/index.md"]
    assert set(INCLUDED) <= set(made)


def _config() -> dict:
    # Tags such as !!python/name stand for objects of mkdocs, which are not needed here.
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def _paths(nav: list | dict | str) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav
    return [path for child in children for path in _paths(child)]


def test_the_navigation_lists_every_page_once():
    config = _config()
    listed = _paths(config["nav"])
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    unlisted = config["not_in_nav"].split()
    expected = {page for page in written | set(pages()) if not any(fnmatchcase(page, each) for each in unlisted)}
    assert sorted(listed) == sorted(expected | {"known-issues/index.md"})


def test_the_site_loads_nothing_from_other_hosts():
    config = _config()
    assert config["theme"]["font"] is False
    assert "extra_javascript" not in config and "extra_css" not in config
    assert "analytics" not in config.get("extra", {})


@pytest.mark.full
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is installed by `nox -s lint` alone, which builds the site")
    import mkdocs.commands.build
    import mkdocs.config

    config = mkdocs.config.load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path))
    mkdocs.commands.build.build(config)
    assert (tmp_path / "known-issues" / f"{entries()[0].id}.html").is_file()
