"""``W/report.html``: always the newest page, readable for others, also by way of a share or a web server."""

from __future__ import annotations

import contextlib
import html
import stat
from pathlib import Path

from alcli.system.files import atomic_write
from alcli.system.text import visible

FILE_NAME = "report.html"
START, END = "<!-- run -->", "<!-- /run -->"
"""Between them a run says that it works."""


def publish(root: Path, text: str, mode: str) -> Path:
    """Replace the page at the top of the workspace.

    Args:
        mode: permissions in octal; whoever may read the page may also enter the workspace's folder, but not list it.
    """
    permissions = int(mode, 8)
    path = root / FILE_NAME
    with atomic_write(path, permissions=permissions) as stream:
        stream.write(text)
    entering = (permissions & (stat.S_IRGRP | stat.S_IROTH)) >> 2
    with contextlib.suppress(OSError):  # the folder may belong to somebody else, who decides about it
        root.chmod(stat.S_IMODE(root.stat().st_mode) | entering)
    return path


def announce(root: Path, text: str) -> None:
    """Say on the page that a run works; an empty text takes it back. Without a page nothing happens."""
    path = root / FILE_NAME
    try:
        page, permissions = path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError):
        return
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    notice = f'<p class="running" role="status">{html.escape(visible(text))}</p>' if text else ""
    changed = f"{before}{start}{notice}{end}{after}"
    if start and end and changed != page:
        with atomic_write(path, permissions=permissions) as stream:
            stream.write(changed)
