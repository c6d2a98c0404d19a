"""With and without ``--network``: a server of the test's own stands for everything outside."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.tools.examples.test_run import ask, fence

COMMIT = "0" * 39 + "1"
CONFIG = json.dumps({"model_type": "bert", "hidden_size": 12}).encode()


class Hub(BaseHTTPRequestHandler):
    """A hub that has one file: ``config.json`` of ``org/tiny``."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        if self.path != "/org/tiny/resolve/main/config.json":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONFIG)))
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(CONFIG)

    def log_message(self, *told: object) -> None:
        """Nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A hub on this machine, under ``HF_ENDPOINT``, and an empty cache for the user."""
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield server
    server.shutdown()
    server.server_close()


def connecting(server: ThreadingHTTPServer) -> str:
    return fence(f"import socket\nwith socket.socket() as own:\n    own.connect(('127.0.0.1', {server.server_port}))")


OFFLINE = fence("import os\nassert os.environ['HF_HUB_OFFLINE'] == '1'\nassert 'HF_ENDPOINT' not in os.environ")
ONLINE = fence("import os\nassert not [name for name in os.environ if name.endswith('OFFLINE')]")
LOADING = fence(">>> from transformers import BertConfig\n>>> BertConfig.from_pretrained('org/tiny').hidden_size\n12")


@pytest.mark.parametrize("checkpoints", ["stand-in", "real"])
def test_without_it_nothing_is_reached(tmp_path, hub, checkpoints):
    code, report = ask(tmp_path, connecting(hub) + OFFLINE + LOADING, "--checkpoints", checkpoints)
    connected, offline, loaded = report.examples
    assert connected.status == "not run"
    assert connected.reason == "needs the network: no network: socket.connect of an example that runs offline"
    assert offline.status == "holds"
    assert loaded.status == "not run"
    assert (code, Hub.asked) == (0, [])


def test_with_it_the_same_is_reached_and_what_is_fetched_fills_the_users_cache(tmp_path, hub):
    code, report = ask(tmp_path, connecting(hub) + ONLINE + LOADING, "--checkpoints", "real", "--network")
    assert [(each.status, each.reason) for each in report.examples] == [("holds", "")] * 3
    assert code == 0
    assert Hub.asked
    fetched = tmp_path / "hub" / "models--org--tiny" / "snapshots" / COMMIT / "config.json"
    assert fetched.read_bytes() == CONFIG


def test_it_is_of_no_use_with_stand_ins(tmp_path, capsys):
    from parity.cli.main import run

    (tmp_path / "page.md").write_text(fence("x = 1"), encoding="utf-8")
    assert run(["doctest", str(tmp_path / "page.md"), "--network"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "parity: the network is of use with real checkpoints only: --checkpoints real --network"
    ]
