"""A search of the hub as a list, with a hub that answers as a test says: no test here uses the network."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from parity.cli.main import run
from parity.core.errors import InputError
from parity.fleet.hub import search_hub
from parity.fleet.targets import Target, read_targets

huggingface_hub = pytest.importorskip("huggingface_hub", reason="a search of the hub needs it")
ONE, TWO = "1" * 40, "2" * 40


class Hub:
    """Stands for ``HfApi``; keeps what was asked."""

    def __init__(self, *answers: Any, error: Exception | None = None) -> None:
        self.answers, self.error, self.asked = answers, error, []

    def __call__(self) -> Hub:
        return self

    def list_models(self, **asked: Any) -> Any:
        # A call that the installed library would refuse is an error here too.
        real = vars(huggingface_hub.hf_api.HfApi)["list_models"]
        assert set(asked) <= set(inspect.signature(real).parameters)
        self.asked.append(asked)
        if self.error:
            raise self.error
        yield from self.answers


def model(name: str, commit: str | None = ONE, gated: object = False) -> SimpleNamespace:
    return SimpleNamespace(id=name, sha=commit, gated=gated)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    def use(*answers: Any, error: Exception | None = None) -> Hub:
        made = Hub(*answers, error=error)
        monkeypatch.setattr(huggingface_hub, "HfApi", made)
        return made

    return use


def test_what_is_found_is_a_list_that_a_fleet_reads(hub, tmp_path, capsys):
    asked = hub(model("owner/two", TWO, gated="manual"), model("owner/One"))
    assert run(["fleet", "search", "bart", "--author", "owner", "--filter", "bart,tf", "--limit", "5"]) == 0
    assert asked.asked == [
        {"search": "bart", "author": "owner", "filter": ["bart", "tf"], "limit": 5, "expand": ["sha", "gated"]}
    ]
    (tmp_path / "list.txt").write_text(capsys.readouterr().out)
    found = read_targets(tmp_path / "list.txt")
    assert list(found.targets) == [Target("owner/One", ONE), Target("owner/two", TWO)]
    assert not found.wrong


def test_nothing_asked_and_nothing_found_are_one_line(hub, capsys):
    asked = hub()
    assert run(["fleet", "search"]) == 2
    assert capsys.readouterr().err == "parity: no text, --author or --filter: that would be the whole hub\n"
    assert not asked.asked, "the hub is not asked"
    assert run(["fleet", "search", "nothing-has-this-name"]) == 2
    assert capsys.readouterr().err == "parity: no checkpoint of the hub matches\n"


def test_a_hub_that_cannot_be_reached_is_one_line(hub, capsys):
    hub(error=ConnectionError("Connection refused\nand more"))
    assert run(["fleet", "search", "bart"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("parity: the hub cannot be searched: Connection refused")


@pytest.mark.parametrize("wrong", [model("a b"), model("a\nb"), model("a", "main"), model("a", None), model("../a")])
def test_an_answer_that_would_be_another_line_is_refused(hub, wrong):
    hub(model("owner/fine"), wrong)
    with pytest.raises(InputError, match="the hub's answer has no id and commit"):
        search_hub("bart")


def test_without_the_hub_library_a_search_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="a search needs the package huggingface_hub"):
        search_hub("bart")
