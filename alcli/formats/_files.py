"""Which files below a folder can be annotations, and the only place that opens one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from alcli.errors import DataError, PlatformError, Unreadable
from alcli.items import Refusal
from alcli.system.folders import KEPT, LEFT_BY_SYSTEMS, NOTHING_THERE, closed_folder
from alcli.system.text import readable

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
NOT_OPENED = "not a regular file that can be opened"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""Byte-order marks of UTF-16."""
MOST_NAMED = 6
_SEEN: ContextVar[dict[tuple[Path, tuple[str, ...] | None], list[Path]] | None] = ContextVar("seen", default=None)
"""What ``one_look`` has listed: files by (root, suffixes), and entries by (folder, None)."""
ONE_IMAGE, LISTING, DATASET = 2**24, 2**20, 2**31
"""Maximum bytes of a file: with the objects of one image, with the names of classes, with a whole dataset."""


def annotation_files(root: Path, *suffixes: str) -> list[Path]:
    """Everything below the root with one of these suffixes (any case), sorted; a file stands for itself.

    Raises:
        PlatformError: a folder cannot be entered, so that nobody knows what it holds.
    """
    if is_file(root):
        return [root]
    seen = _SEEN.get()
    if seen is None:
        return _sorted(_walk(root, suffixes))
    if (root, suffixes) not in seen:
        seen[root, suffixes] = _sorted(_walk(root, suffixes))
    return list(seen[root, suffixes])


@contextlib.contextmanager
def one_look() -> Iterator[None]:
    """Within it, what lies below a folder is listed once: many formats ask for the same files."""
    token = _SEEN.set({} if _SEEN.get() is None else _SEEN.get())
    try:
        yield
    finally:
        _SEEN.reset(token)


def dataset_files(root: Path, suffix: str, kind: str) -> tuple[list[Path], list[Refusal]]:
    """The regular files with this suffix, each with annotations of many images; pipes and devices are refused.

    A folder with the suffix is none of them; a link to a file that is gone is, and opening it fails.

    Args:
        kind: first part of the refusals' ids.
    """
    files: list[Path] = []
    refusals: list[Refusal] = []
    for path in annotation_files(root, suffix):
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            files.append(path)
        elif not stat.S_ISDIR(mode):
            refusals.append(Refusal(f"{kind}:{path.name}", path.name, NOT_OPENED))
    return files, refusals


def has_files(root: Path, *suffixes: str) -> bool:
    """Whether anything below the folder has one of these suffixes; stops at the first."""
    return any(True for _ in _walk(root, suffixes))


def describe_files(root: Path, without: str = "") -> str:
    """Count the files below a folder by suffix, apart from one name: ``40 .txt, 2 .png``; empty for an empty folder."""
    files = (path for path in _walk(root) if path.name != without and not is_folder(path))
    counts = Counter(path.suffix.lower() or path.name for path in files)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{count} {suffix}" for suffix, count in ordered[:MOST_NAMED])
    return named + (" and others" if len(counts) > MOST_NAMED else "")


def count_files(root: Path) -> dict[str, int]:
    """The number of files below each folder below the root, by its path relative to the root; none for a file."""
    counts: Counter[str] = Counter()
    for folder, folders, names in os.walk(root, onerror=_raise_closed):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in LEFT_BY_SYSTEMS]
        inside = Path(folder).relative_to(root)
        count = sum(not name.startswith(".") for name in names)
        for each in (inside, *inside.parents) if inside.name else ():
            if each.name and count:
                counts[readable(each.as_posix())] += count
    return dict(counts)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; raises PlatformError if it cannot be entered."""
    seen = _SEEN.get()
    if seen is None:
        return _entries(folder)
    if (folder, None) not in seen:
        seen[folder, None] = _entries(folder)
    return list(seen[folder, None])


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]  # noqa: PTH208 (names sort faster than paths)
    except OSError as error:
        raise closed_folder(error, "annotations") from None


def relative_name(path: Path, root: Path) -> str:
    """The path below a root as text, ``.`` for the root itself; pathlib takes ten times as long."""
    text, start = str(path), str(root)
    return text if start == "." else text[len(start) :].lstrip("/") or "."


def check_source(path: Path) -> None:
    """Check that annotations can come from there.

    Raises:
        PlatformError: there is nothing, or nobody can know.
        DataError: it is a pipe or a device.
    """
    do = "Is the disk mounted? See platform.annotations."
    mode = _mode(path)
    if mode is None:
        dangling = ": the link leads nowhere" if path.is_symlink() else ""
        raise PlatformError(f"There are no annotations at {path}{dangling}.", kept=KEPT, do=do)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path} is neither a file nor a folder.", kept=KEPT, do=do)


def file_version(path: Path) -> str:
    """Size, modification and change time; empty for anything but a readable regular file.

    The change time, which no program can set back, finds an edit that keeps size and modification time.

    Raises:
        PlatformError: the file is there, but its folder does not let it be looked at.
    """
    facts = _facts(path)
    if facts is None or not stat.S_ISREG(facts.st_mode):
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"


def is_file(path: Path) -> bool:
    """Whether it is a regular file; raises PlatformError if nobody can know."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Whether it is a folder; raises PlatformError if nobody can know."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_given(path: Path) -> bool:
    """Whether there is something of this name that is no folder, also a pipe or a link to nothing.

    For files of which there is one: that it cannot be read is no reason to look for another one.
    """
    mode = _mode(path)
    return path.is_symlink() if mode is None else not stat.S_ISDIR(mode)


@contextlib.contextmanager
def open_file(path: Path, largest: int) -> Iterator[BinaryIO]:
    """Open a regular file for reading; every reader of annotations opens files with this function.

    Raises:
        Unreadable: it is gone, or cannot be read at the moment.
        DataError: it is a pipe, a device or a folder, may not be read, or has more than ``largest`` bytes.
    """
    try:
        # Before opening, because opening a device can change it; again afterwards, because files can be replaced.
        _check_regular(path.stat(), path, largest)
        # Without O_NONBLOCK, opening a pipe would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            _check_regular(os.fstat(descriptor), path, largest)
            yield stream
    except PermissionError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise Unreadable(f"{path.name}: cannot be read: {error.strerror or error}") from None


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file; raises as ``open_file`` does, and DataError where it grows meanwhile."""
    with open_file(path, largest) as stream:
        size = os.fstat(stream.fileno()).st_size
        # Python reserves as much memory as it is asked to read: the file's size, not the largest one allowed.
        content = stream.read(size + 1)
    if len(content) > size:
        raise DataError(f"{path.name}: grew while it was read")
    return content


def read_text(path: Path, largest: int) -> str:
    """The content of a regular file in UTF-8, or in UTF-16 with its mark, as PowerShell writes it.

    Raises:
        DataError: it is in another encoding, or as ``open_file`` says.
    """
    content = read_bytes(path, largest)
    try:
        return content.decode(encoding_of(content))
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: is not UTF-8 text", do="Save it as UTF-8.") from None


def encoding_of(head: bytes) -> str:
    """The name of the encoding of a text that begins with these bytes."""
    return "utf-16" if head.startswith(WIDE_MARKS) else "utf-8-sig"


def read_head(path: Path, count: int) -> bytes:
    """The first bytes of a regular file of any size; empty for anything else."""
    try:
        with open_file(path, 2**63) as stream:
            return stream.read(count)
    except DataError:
        return b""


def _check_regular(facts: os.stat_result, path: Path, largest: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise DataError(f"{path.name}: not a regular file")
    if facts.st_size > largest:
        raise DataError(f"{path.name}: {facts.st_size} bytes is too large for annotations")


def _facts(path: Path) -> os.stat_result | None:
    """What the disk says of a path; None where there is nothing, and for a link to nothing or to itself."""
    try:
        return path.stat()
    except ValueError:
        return None
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return None
        raise closed_folder(error, "annotations") from None


def _mode(path: Path) -> int | None:
    facts = _facts(path)
    return None if facts is None else facts.st_mode


def _walk(root: Path, suffixes: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files and folders, without hidden ones (``._x.xml`` of macOS), linked folders and ``LEFT_BY_SYSTEMS``.

    Args:
        suffixes: only names that end so, in any case; empty: all.
    """
    for folder, folders, names in os.walk(root, onerror=_raise_closed):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_BY_SYSTEMS)
        for name in (*folders, *names):
            # A path takes most of the time of a walk: only for what is wanted.
            if not name.startswith(".") and (not suffixes or name.lower().endswith(suffixes)):
                yield Path(folder, name)


def _sorted(paths: Iterable[Path]) -> list[Path]:
    """The order of paths themselves, which takes twenty times as long to compare."""
    return sorted(paths, key=attrgetter("parts"))


def _raise_closed(error: OSError) -> None:
    # Nothing below the root, or a root that is a file, is an answer.
    if not isinstance(error, NotADirectoryError):
        raise closed_folder(error, "annotations")
