"""Headless Chromium through its debugging pipe: opens a page and says what happened in it.

ALCLI_CHROMIUM names its executable, or the Python of an environment with PyQt6-WebEngine, which has a Chromium inside
(``pip install PyQt6-WebEngine``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = (os.environ.get("ALCLI_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
BINARY = next((path for path in map(shutil.which, NAMES) if path), None)
MISSING = "there is no Chromium here: apt-get install chromium, or see tests/support/chromium.py"
SECONDS = 60


def command_line(profile: str) -> list[str]:
    """How the browser starts."""
    assert BINARY is not None
    if Path(BINARY).name.startswith("python"):
        return [BINARY, str(Path(__file__).with_name("qt_chromium.py"))]
    return [BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars",
            f"--user-data-dir={profile}", "about:blank"]  # fmt: skip


class Chromium:
    """One page of one width; use it in a ``with`` block."""

    def __init__(self, width: int, height: int = 900, dark: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self._buffer, self._number = b"", 0
        self._profile = tempfile.mkdtemp()
        ours, theirs = os.pipe(), os.pipe()

        def pipes() -> None:
            # Chromium reads commands from descriptor 3 and writes answers to 4.
            read, write = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._process = subprocess.Popen(
            command_line(self._profile),
            preexec_fn=pipes,
            close_fds=False,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._write, self._read = ours[1], theirs[0]
        target = self._page()
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    _session: str | None = None

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.close(self._write)
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; events that come in between are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _page(self) -> str:
        """The page that is there from the start."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            targets = self.call("Target.getTargets")["targetInfos"]
            if pages := [target["targetId"] for target in targets if target["type"] == "page"]:
                return pages[0]
            time.sleep(0.1)
        raise AssertionError("Chromium has no page")

    def open(self, page: Path | str) -> None:
        """Load a file or an address and wait until it is all there."""
        known = len(self.events)
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events[known:]):
            self.events.append(self._next())

    def wait_for(self, script: str, seconds: float = SECONDS) -> Any:
        """The value of a piece of JavaScript as soon as it is true; a page that is just loading has none."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
            if "exceptionDetails" not in answer and (value := answer["result"].get("value")):
                return value
            time.sleep(0.2)
        raise AssertionError(f"{script} has not become true in {seconds} s")

    def value(self, script: str) -> Any:
        """What a piece of JavaScript, or the promise it gives, comes to."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """The page as PNG, from the top down to ``height`` or its end."""
        width, whole = self.value("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def complaints(self) -> list[dict[str, Any]]:
        """What went to the console, and exceptions."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in kinds]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
