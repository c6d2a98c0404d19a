"""A real browser without a window, steered over a pipe: opens a page, asks it, presses, takes its picture.

Debian's Chromium alone is needed: its DevTools protocol is JSON with a zero byte after each message, read from the
browser's file descriptor 3 and written to 4 (``--remote-debugging-pipe``).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
"""Two frames later whatever a script changed is on the screen; gives the milliseconds since the navigation began."""


class Tab:
    """One page of a running browser."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._rest, self._last = send, receive, b"", 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._last:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, address: str) -> float:
        """Opens a page and waits until it is loaded and drawn; the seconds that took, as somebody waits for them."""
        started = time.perf_counter()
        self.call("Page.navigate", url=address)
        while self._read().get("method") != "Page.loadEventFired":
            pass
        self.ask(SETTLED)
        return time.perf_counter() - started

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, a promise's once it is kept.

        Raises:
            RuntimeError: the page threw.
        """
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", expression))
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> float:
        """Waits until a JavaScript expression is true, and drawn; how many seconds that took.

        Raises:
            AssertionError: it has not become so.
        """
        started = time.perf_counter()
        while not self.ask(f"Boolean({condition})"):
            assert time.perf_counter() < started + seconds, f"never came: {condition}"
            self.ask(SETTLED)
        self.ask(SETTLED)
        return time.perf_counter() - started

    def press(self, selector: str) -> None:
        """Presses the mouse near the lower left corner of the first element that the selector finds."""
        self.ask(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = self.ask(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        at = {"x": box["left"] + 4, "y": box["bottom"] - 4, "button": "left", "clickCount": 1}
        for step in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=step, **at)

    def become(self, width: int, height: int = 900, dark: bool = False) -> None:
        """The screen's size in CSS pixels (a phone's up to 500), and the colours its reader prefers."""
        phone = width <= 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, whole: bool = False) -> None:
        """Writes a PNG of the screen, or of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._receive, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser() -> Iterator[Tab]:
    """Starts Chromium with a fresh profile, and ends it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        running = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with running:
            try:
                yield Tab(running.stdin.fileno(), running.stdout.fileno())
            finally:
                running.terminate()
