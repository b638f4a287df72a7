"""Tracebacks of internal errors, in files that can be sent; the terminal only names them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import traceback
from pathlib import Path

from alcli.errors import AlcliError
from alcli.system.redaction import redacted

KEPT = 20
PATTERN = "crash-*.txt"


def internal_error(error: Exception, folder: Path | None = None, run_id: str = "") -> AlcliError:
    """What to raise for a bug: it names the file with the traceback.

    Args:
        folder: for ``crash-RUN.txt``, where the newest 20 stay; the system's temporary one when there is none.
    """
    text = redacted("".join(traceback.format_exception(error)))
    path = _in_folder(text, folder / f"crash-{run_id}.txt") if folder else None
    path = path or _in_temporary_file(text)
    if path:
        where = f"its traceback is in {path}"
    else:
        where = f"no file could be written, so here is its traceback:\n{text}"
    what = f"Internal error: {type(error).__name__}: {error}"
    return AlcliError(what, kept="Finished steps are kept.", do=f"Please report this bug; {where}")


def _in_folder(text: str, path: Path) -> Path | None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        _forget_old(path.parent)
    except OSError:
        return None
    return path


def _forget_old(folder: Path) -> None:
    reports = sorted(folder.glob(PATTERN), key=lambda path: path.stat().st_mtime_ns)
    for path in reports[:-KEPT]:
        path.unlink(missing_ok=True)


def _in_temporary_file(text: str) -> Path | None:
    with (
        contextlib.suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w", prefix="alcli-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as stream,
    ):
        stream.write(text)
        return Path(stream.name)
    return None
