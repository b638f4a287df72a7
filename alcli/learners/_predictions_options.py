"""Settings of the learner ``predictions``, in a file of their own: reading them must not import torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from alcli.config import LearnerOptions
from alcli.system.hashing import sha256_of, sha256_of_text


class PredictionsOptions(LearnerOptions):
    """Where the predictions are."""

    predictions: Path | None = Field(None, description="file or folder of predictions; `alcli check-predictions`")
    embeddings: Path | None = Field(None, description=".npz with the arrays names and embeddings, for all images")
    coco: Path | None = Field(None, description="COCO file that names the image and category ids of COCO results")

    def in_words(self) -> str:
        """Where the predictions come from."""
        return f"predictions from {self.predictions}"

    def fingerprint(self) -> str:
        """A hash of the content of all files; of a missing one only that it is missing."""
        return sha256_of_text(*(hash_of(path) for path in (self.predictions, self.embeddings, self.coco)))


def hash_of(path: Path | None) -> str:
    """SHA-256 of a file, or of all files of a folder with their names; empty for none."""
    if path is None or not path.exists():
        return ""
    if path.is_file():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_of_text(*(part for file in files for part in (str(file.relative_to(path)), sha256_of(file))))
