"""The errors that alcli raises, and their exit codes.

AlcliError                     exit 1    a bug in alcli
├── UsageError                 exit 2    an invalid request or configuration
├── AuthError                  exit 4    the token is missing, rejected or lacks permission
├── DataError                  exit 5    annotations, classes, weights or scores that cannot be used
│   └── Unreadable                       a file that cannot be read at the moment
├── PlatformError              exit 6    the platform or the network is not available; try later
│   └── QueueDiffers           exit 3    everything was pushed, but the platform's queue has another order
├── MachineError               exit 7    disk, memory or permission of this machine
├── WorkspaceMissing           exit 10   there is no workspace here
├── WorkspaceLocked            exit 11   another run holds the workspace
├── WorkspaceDamaged           exit 12   a file of the workspace has changed since it was written
└── WorkspaceTooNew            exit 13   a newer alcli created this workspace
Interrupted                    exit 130 / 143   stopped by a signal, cleanly

Two exit codes are results, not errors: a successful run that left items out exits 3 (``PARTIAL``), and
`alcli status --exit-code` exits 20 (``ENOUGH``) when stopping is advised.
"""

from __future__ import annotations

import signal

DONE = 0
PARTIAL = 3
ENOUGH = 20


class Ending:
    """How a run ended, in three parts: what happened, what was kept, what to do."""

    exit_code = 1
    what: str
    kept: str
    do: str

    def parts(self) -> dict[str, str]:
        """The three parts by name, for ``--json``."""
        return {"what": self.what, "kept": self.kept, "do": self.do}


class AlcliError(Ending, Exception):
    """Base class of all errors that alcli raises."""

    def __init__(self, what: str, *, kept: str = "Nothing was changed.", do: str = "") -> None:
        super().__init__(what)
        self.what, self.kept, self.do = what, kept, do


class UsageError(AlcliError):
    """The request or the configuration is invalid."""

    exit_code = 2


class AuthError(AlcliError):
    """The token is missing, rejected or lacks permission."""

    exit_code = 4


class DataError(AlcliError):
    """An annotation, class, weight or score that cannot be used."""

    exit_code = 5


class Unreadable(DataError):
    """A file that cannot be read at the moment; it may be intact, so it is not quarantined."""


class PlatformError(AlcliError):
    """The platform or the network is not available; try later."""

    exit_code = 6


class QueueDiffers(PlatformError):
    """Everything was pushed, but the queue that was read back has another order; the cycle stays open."""

    exit_code = PARTIAL


class MachineError(AlcliError):
    """Disk, memory or permission of this machine."""

    exit_code = 7


class WorkspaceMissing(AlcliError):
    """There is no workspace in this folder."""

    exit_code = 10


class WorkspaceLocked(AlcliError):
    """Another run holds the workspace."""

    exit_code = 11


class WorkspaceDamaged(AlcliError):
    """A file of the workspace has changed since it was written."""

    exit_code = 12


class WorkspaceTooNew(AlcliError):
    """A newer alcli created this workspace."""

    exit_code = 13


class Interrupted(Ending, BaseException):
    """Stopped by a signal; the same command continues."""

    # Not an Exception: it can be raised anywhere, and code that catches errors of broken images must not catch it.
    what = "Stopped by a signal."
    kept = "Finished steps are kept."
    do = "Run the same command to resume."

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        # A lost terminal (SIGHUP) stops a run cleanly, like SIGTERM.
        self.exit_code = 130 if signal_number == signal.SIGINT else 143


def exit_of(error: BaseException) -> tuple[int, str]:
    """The exit code and the message for a run that ends with this error."""
    if isinstance(error, AlcliError | Interrupted):
        return error.exit_code, error.what
    if isinstance(error, KeyboardInterrupt):
        return 130, Interrupted.what
    if isinstance(error, BrokenPipeError):
        return 141, "The reader of the output closed it."
    return 1, f"{type(error).__name__}: {error}"


EXIT_CODES = {
    0: "done, or nothing to do",
    1: "internal error (a bug); the report file is named",
    2: "usage or configuration",
    3: "done, but some items were skipped, quarantined or refused",
    4: "authentication or permission",
    5: "data: annotations, classes, scores that cannot be used",
    6: "platform or network not available; try later",
    7: "machine: disk, memory, permission",
    10: "no workspace",
    11: "workspace locked by another run",
    12: "workspace damaged",
    13: "workspace from a newer version",
    20: "status --exit-code: stopping is advised",
    130: "stopped cleanly by SIGINT",
    141: "the reader of the output closed it, as `| head` does",
    143: "stopped cleanly by SIGTERM or SIGHUP",
}
