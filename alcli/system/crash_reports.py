"""Files with the tracebacks of internal errors; the terminal shows only where they are."""

from __future__ import annotations

import contextlib
import os
import tempfile
import traceback
from pathlib import Path

from alcli.errors import AlcliError
from alcli.system.redaction import redact

KEPT = 20
PATTERN = "crash-*.txt"


def internal_error(error: Exception, folder: Path | None = None, run_id: str = "") -> AlcliError:
    """The error to raise for a bug; its message names the file with the traceback.

    Args:
        folder: where to write ``crash-RUN.txt``; it keeps the newest 20. Without it, or when it cannot be written, the
            report goes to the system's temporary folder.
    """
    text = redact("".join(traceback.format_exception(error)))
    path = _write_in(text, folder / f"crash-{run_id}.txt") if folder else None
    path = path or _write_temporary(text)
    if path:
        where = f"its traceback is in {path}"
    else:
        where = f"its traceback could not be written to a file:\n{text}"
    what = f"Internal error: {type(error).__name__}: {error}"
    return AlcliError(what, kept="Finished steps are kept.", do=f"Please report this bug; {where}")


def _write_in(text: str, path: Path) -> Path | None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        _remove_old(path)
    except OSError:
        return None
    return path


def _remove_old(newest: Path) -> None:
    # Not by the clock alone: older reports may have times in the future.
    others = [path for path in newest.parent.glob(PATTERN) if path != newest]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns)[: -(KEPT - 1)]:
        path.unlink(missing_ok=True)


def _write_temporary(text: str) -> Path | None:
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="alcli-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as stream,
    ):
        stream.write(text)
        return Path(stream.name)
    return None
