"""Settings of the learner ``command``, in a file of their own: reading them must not import torch."""

from __future__ import annotations

import shlex
from pathlib import Path

from pydantic import Field

from alcli.config import LearnerOptions
from alcli.system.hashing import sha256_of


class CommandOptions(LearnerOptions):
    """What is run in each cycle, where, and for how long."""

    command: str = Field("", description="your program, run without a shell; its last argument is the cycle's folder")
    directory: Path | None = Field(None, description="folder in which it runs; default: the workspace")
    deadline: float = Field(86_400, gt=0, le=31_536_000, description="seconds after which the command is stopped")
    embeddings: Path | None = Field(None, description=".npz with the arrays names and embeddings, for all images")

    def words(self) -> list[str]:
        """The command's words; raises ValueError for an open quotation."""
        return shlex.split(self.command)

    def in_words(self) -> str:
        """What is run."""
        return f"runs {self.command}"

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """The command is run."""
        where = f" in {self.directory}" if self.directory else ""
        return {"command": f"The command would be run{where}: {self.command}"} if self.command else {}

    def confirmed_value(self, key: str, workspace: Path) -> str:
        """The command, its folder, and the content of its files that lie in the workspace, which others may change."""
        if key != "command":
            return super().confirmed_value(key, workspace)
        folder = (self.directory or workspace).resolve()
        try:
            words = self.words()
        except ValueError:
            words = []
        files = [path for word in words if (path := (folder / word).resolve()).is_file()]
        inside = [path for path in files if path.is_relative_to(workspace)]
        return " ".join([self.command, f"in {folder}", *(f"sha256:{sha256_of(path)}" for path in inside)])
