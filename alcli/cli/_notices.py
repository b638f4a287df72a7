"""A word when a cycle is done: to a webhook, and to the services that Apprise knows.

Nothing here may fail or delay a run: errors are one line, and what takes too long is left alone.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alcli.errors import DONE, PARTIAL
from alcli.system.redaction import keep_secret, redact

if TYPE_CHECKING:
    from alcli.config import Config, NotifyOptions
    from alcli.cycle import CycleResult
    from alcli.workspace import Workspace
    from alcli.workspace.heartbeat import Heartbeat

LIST, FAILURE, ENOUGH = "list", "failure", "enough"
LAYOUT = 1
"""Changes with what the document says."""


@dataclass
class Notice:
    """What a cycle has to tell, filled in as it goes.

    Attributes:
        cycle: its number; None before there is one.
        pushed: whether it gave annotators a new list.
        text: what happened, in a few sentences.
    """

    cycle: int | None = None
    pushed: bool = False
    text: str = ""

    def fill(self, result: CycleResult, text: str) -> None:
        """What a cycle without an error tells."""
        self.cycle, self.pushed, self.text = result.number, not result.nothing_new, text


def notify(notice: Notice, config: Config, workspace: Workspace, say: Callable[[str], None], beat: Heartbeat) -> None:
    """Tell those whom ``[notify]`` names what happened, if it is one of the events that they asked for."""
    options = config.notify
    if not (options.webhook or options.urls_file):
        return
    with contextlib.suppress(Exception):  # the run is over, and must end as it did
        event = _event(notice, config, workspace, beat)
        if event in options.events and _is_confirmed(config, workspace, say):
            _send(options, _document(event, notice, workspace, beat), say)


def _is_confirmed(config: Config, workspace: Workspace, say: Callable[[str], None]) -> bool:
    """Whether this user wants what ``[notify]`` says; says what to do if only a received workspace says it."""
    from alcli.config import trusted

    questions = trusted.unconfirmed(config, workspace.root).items()
    reasons = [reason for setting, reason in questions if setting.startswith("notify.")]
    if reasons:
        command = shlex.join(["alcli", "trust", "-w", str(workspace.root)])
        say(f"Nobody was notified: {reasons[0]} Only alcli.toml says so. If you trust it, run this once: {command}")
    return not reasons


def _event(notice: Notice, config: Config, workspace: Workspace, beat: Heartbeat) -> str:
    """What kind of news it is; empty: none."""
    if beat.exit_code not in (DONE, PARTIAL):
        return FAILURE
    if not notice.pushed:
        return ""
    return ENOUGH if _is_enough(config, workspace) else LIST


def _is_enough(config: Config, workspace: Workspace) -> bool:
    """Whether the advice is to stop."""
    from alcli.curves.history import history
    from alcli.curves.outlook import means_of, outlook
    from alcli.items import UNLABELED

    left = workspace.store.counts()[UNLABELED]
    return outlook(history(workspace), config.report.target, means_of(workspace, config, left)).advice == "stop"


def _document(event: str, notice: Notice, workspace: Workspace, beat: Heartbeat) -> dict[str, Any]:
    from alcli.workspace.records import Scored, Training, measurement_of

    training = workspace.newest(Training)
    metrics = measurement_of(training, workspace.step(training.cycle, Scored) if training else None).metrics
    return {
        "layout": LAYOUT,
        "event": event,
        "workspace": workspace.root.resolve().name,
        "cycle": notice.cycle,
        "exit_code": beat.exit_code,
        "seconds": round(beat.seconds, 1),
        "failures": beat.failures,
        "message": redact(beat.message or notice.text),
        "pool": workspace.store.counts(),
        "metrics": metrics,
    }


def _send(options: NotifyOptions, document: dict[str, Any], say: Callable[[str], None]) -> None:
    """Send to all at once, and wait no longer than allowed."""
    failures: list[str] = []
    ways: list[Callable[[], str]] = []
    if options.webhook:
        ways.append(lambda: _post(options, document))
    if options.urls_file:
        ways.append(lambda: _tell(options.urls_file, document))  # type: ignore[arg-type]
    threads = [threading.Thread(target=_attempt, args=(way, failures), daemon=True) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(options.seconds)
    if any(thread.is_alive() for thread in threads):
        failures.append(f"no answer in {options.seconds:g} s")
    for failure in failures:
        say(f"Nobody was notified: {redact(failure)}. The run itself is as it ended.")


def _attempt(way: Callable[[], str], failures: list[str]) -> None:
    try:
        if failure := way():
            failures.append(failure)
    except Exception as error:
        failures.append(f"{type(error).__name__}: {error}")


def _post(options: NotifyOptions, document: dict[str, Any]) -> str:
    from alcli.system.webhook import post

    secret = _private(options.secret_file) if options.secret_file else ""
    keep_secret(options.webhook)
    failure = post(options.webhook, document, secret.strip(), options.seconds)
    return f"the webhook: {failure}" if failure else ""


def _tell(path: Path, document: dict[str, Any]) -> str:
    """Tell the services whose addresses are in the file, one a line."""
    addresses = [line.strip() for line in _private(path).splitlines() if line.strip() and not line.startswith("#")]
    for address in addresses:
        keep_secret(address)
    try:
        import apprise
    except ImportError:
        return "Apprise is missing; pip install 'alcli[notify]'"
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages quote addresses
    services = apprise.Apprise()
    odd = [number for number, address in enumerate(addresses, 1) if not services.add(address)]
    title = f"alcli: {document['workspace']}, {TITLES[document['event']]}"
    sent = services.notify(title=title, body=document["message"] or title) if len(services) else False
    if odd:
        return f"Apprise does not know address {', '.join(map(str, odd))} of {path.name}"
    return "" if sent else "a service of Apprise refused the message"


TITLES = {LIST: "a new list", FAILURE: "a cycle failed", ENOUGH: "another cycle is hardly worth it"}


def _private(path: Path) -> str:
    """The content of a file that only its owner can read; raises PermissionError for any other."""
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"other users can read {path.name}; chmod 600")
    text = path.read_text(encoding="utf-8")
    keep_secret(text.strip())
    return text
