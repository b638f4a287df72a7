"""Qt's Chromium in the manner of ``chromium --headless --remote-debugging-pipe``, where there is no Chromium.

The Python of an environment with PyQt6-WebEngine runs this file. Commands come in through descriptor 3 and answers go
out through descriptor 4, each with a zero byte at its end; one empty page is there from the start.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
os.environ |= {
    "QT_QPA_PLATFORM": "offscreen",
    "QTWEBENGINE_DISABLE_SANDBOX": "1",
    "QTWEBENGINE_REMOTE_DEBUGGING": f"127.0.0.1:{PORT}",
    "QTWEBENGINE_CHROMIUM_FLAGS": "--disable-gpu --no-sandbox --hide-scrollbars",
}

# Qt reads these when its modules are loaded.
from PyQt6.QtCore import QSocketNotifier, QTimer, QUrl
from PyQt6.QtNetwork import QNetworkAccessManager, QNetworkReply, QNetworkRequest
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWebSockets import QWebSocket
from PyQt6.QtWidgets import QApplication

COMMANDS, ANSWERS = 3, 4


class Bridge:
    """Carries messages between the two descriptors and the debugging server of this very process."""

    def __init__(self, view: QWebEngineView) -> None:
        self._view, self._buffer = view, b""
        self._network = QNetworkAccessManager()
        self._network.finished.connect(self._connect)
        self._socket = QWebSocket()
        self._socket.setMaxAllowedIncomingMessageSize(1 << 30)
        self._socket.setMaxAllowedIncomingFrameSize(1 << 30)
        self._socket.textMessageReceived.connect(lambda text: write_all(text.encode() + b"\0"))
        self._socket.connected.connect(self._listen)
        self._ask()

    def _ask(self) -> None:
        self._network.get(QNetworkRequest(QUrl(f"http://127.0.0.1:{PORT}/json/version")))

    def _connect(self, reply: QNetworkReply) -> None:
        if reply.error() != QNetworkReply.NetworkError.NoError:
            QTimer.singleShot(100, self._ask)
            return
        self._socket.open(QUrl(json.loads(reply.readAll().data())["webSocketDebuggerUrl"]))

    def _listen(self) -> None:
        self._notifier = QSocketNotifier(COMMANDS, QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._forward)

    def _forward(self) -> None:
        part = os.read(COMMANDS, 1 << 20)
        if not part:
            QApplication.quit()
        *messages, self._buffer = (self._buffer + part).split(b"\0")
        for message in messages:
            if json.loads(message)["method"] == "Page.printToPDF":
                self._print(json.loads(message)["id"])
            else:
                self._socket.sendTextMessage(message.decode())

    def _print(self, number: int) -> None:
        """Answer the only command that Qt's debugging server lacks."""

        def answer(content: object) -> None:
            data = base64.b64encode(bytes(content)).decode("ascii")
            write_all(json.dumps({"id": number, "result": {"data": data}}).encode() + b"\0")

        self._view.page().printToPdf(answer)


def write_all(content: bytes) -> None:
    """Write to the pipe, which may take only a part at a time."""
    while content:
        content = content[os.write(ANSWERS, content) :]


def main() -> None:
    application = QApplication(sys.argv)
    view = QWebEngineView()
    view.resize(1280, 900)
    view.setUrl(QUrl("about:blank"))
    view.show()
    bridge = Bridge(view)  # noqa: F841, kept alive
    application.exec()
    os._exit(0)  # Qt may hang while it takes the page down


if __name__ == "__main__":
    main()
