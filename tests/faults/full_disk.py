"""A disk that is really full: a small tmpfs in a namespace of its own, with just so much free as is given.

Run inside ``unshare -rm``: mounts, fills, runs commands, makes space, runs them again, and prints what came of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.scenes import OUTCOME
from tests.support.hashes import hashes

SIZE = 96 * 2**20
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Free space, as a share of what a calm cycle needs."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "init": ("init", "NEW", "--images", "IMAGES", "--annotations", "LABELS"),
    "pull": ("pull", "-w", "W"),
    "train": ("train", "-w", "W", "--set", "train.epochs=3"),
    "score": ("score", "-w", "W", "--strategy", "margin"),
    "export-csv": ("export-csv", "-w", "W", "-o", "OUT"),
    "push": ("push", "-w", "W", "--top", "1"),
    "report": ("report", "-w", "W"),
    "skip": ("skip", "LIST", "-w", "W"),
    "backup": ("backup", "-w", "W", "COPY"),
    "restore": ("restore", "BACKUP", "-w", "NEW"),
    "simulate": ("simulate", "-w", "W", "--seeds", "1", "--strategies", "random"),
}
"""Every command that writes; after each, space is made and the same command runs again."""


@dataclass(frozen=True)
class Tried:
    """A command on a full disk, and again when there is space.

    Attributes:
        code, error: of the first. again: exit code of the second. outcome: hash by name of what is there then.
        lost: files that were there before, and are not any more or have changed, after the first.
    """

    code: int
    error: str
    again: int
    outcome: dict[str, str]
    lost: list[str]


class Disk:
    """The small disk; ``W`` and everything else lie on it."""

    def __init__(self, blank: Path, mount: Path) -> None:
        self.blank, self.root = blank, mount
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(mount)], check=True)

    def renew(self) -> None:
        """A fresh project."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.blank.iterdir():
            shutil.copytree(path, self.root / path.name)

    def used(self) -> int:
        """Bytes in use."""
        facts = os.statvfs(self.root)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def fill(self, free: int) -> None:
        """Leave so many bytes free."""
        facts = os.statvfs(self.root)
        with (self.root / "filler").open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(facts.f_bavail * facts.f_frsize - free, 1))

    def alcli(self, words: Sequence[str]) -> tuple[int, str]:
        """Run a command; exit code and stderr."""
        named = {"W": "W", "NEW": "NEW", "COPY": "COPY", "BACKUP": "BACKUP", "OUT": "out.csv", "LIST": "list.txt",
                 "IMAGES": "project/images", "LABELS": "project/annotations"}  # fmt: skip
        arguments = [str(self.root / named[word]) if word in named else word for word in words]
        command = [sys.executable, "-m", "alcli", *arguments, "-q"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        return done.returncode, done.stderr

    def outcome(self) -> dict[str, str]:
        """What a cycle made."""
        files = [*(self.root / "W/cycles/0001" / name for name in OUTCOME), self.root / "W/queue.csv"]
        return hashes(file for file in files if file.exists())

    def contents(self) -> dict[str, str]:
        """Hash by path of the files whose loss would matter."""
        files = [path for path in self.root.rglob("*") if path.is_file() and path.suffix in (".csv", ".jpg", ".xml")]
        files += self.root.rglob("*.safetensors")
        return {str(path.relative_to(self.root)): hashes([path])[path.name] for path in files}

    def attempt(self, words: Sequence[str], free: int) -> Tried:
        """Run a command with so much space, and again with all of it."""
        before = self.contents()
        self.fill(free)
        code, error = self.alcli(words)
        after = self.contents()
        (self.root / "filler").unlink()
        again, more = self.alcli(words)
        lost = [name for name in before if after.get(name) != before[name]]
        return Tried(code, error + (more if again else ""), again, self.outcome(), lost)


def calm(disk: Disk) -> tuple[dict[str, str], int]:
    """What an undisturbed cycle makes, and how many bytes it needs."""
    disk.renew()
    before = disk.used()
    code, error = disk.alcli(("cycle", "-w", "W"))
    assert code == 0, error
    return disk.outcome(), disk.used() - before


def main(place: Path, what: Sequence[str]) -> None:
    """Try cycles by shares (numbers) and commands (names), and print a document."""
    mount = place / "disk"
    mount.mkdir(exist_ok=True)
    disk = Disk(place / "blank", mount)
    expected, need = calm(disk)
    tried: dict[str, Tried] = {}
    for name in what:
        disk.renew()
        if name in COMMANDS:
            assert disk.alcli(("cycle", "-w", "W"))[0] == 0
            if name == "restore":
                assert disk.alcli(("backup", "-w", "W", "BACKUP"))[0] == 0
            (disk.root / "list.txt").write_text("photo_08.jpg\n")
            (disk.root / "project/annotations/photo_00.xml").touch()
            tried[name] = disk.attempt(COMMANDS[name], 0)
        else:
            tried[name] = disk.attempt(("cycle", "-w", "W"), int(need * float(name)) // 4096 * 4096)
    print(json.dumps({"calm": expected, "tried": {name: asdict(each) for name, each in tried.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
