"""Settings of the learner ``onnx``, in a file of their own: reading them must not import a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from alcli.config import LearnerOptions
from alcli.system.hashing import sha256_of

LETTERBOX, STRETCH, CROP, NONE = "letterbox", "stretch", "crop", "none"
UNIT, IMAGENET, BYTES = "unit", "imagenet", "bytes"


class OnnxOptions(LearnerOptions):
    """Which exported model looks at the images, and what its file does not say."""

    weights: Path | None = Field(None, description="the exported model: best.onnx")
    classes: tuple[str, ...] = Field((), description="class names in the model's order; default: those in its file")
    input_size: int | None = Field(None, ge=8, le=8192, description="side in pixels, where the file fixes none")
    resize: Literal["auto", "letterbox", "stretch", "crop", "none"] = Field(
        "auto", description="auto: detectors letterbox (none, where any size fits); classifiers crop the center"
    )
    pixels: Literal["auto", "unit", "imagenet", "bytes"] = Field(
        "auto", description="unit: 0 to 1; imagenet: normalised, auto for classifiers that say nothing; bytes: 0 to 255"
    )
    threshold: float = Field(0.05, ge=0, le=1, description="boxes with a lower score are left out")
    overlap: float = Field(
        0.7, gt=0, le=1, description="IoU above which the weaker of two boxes is suppressed, where the model does not"
    )
    embeddings: Path | None = Field(None, description=".npz with the arrays names and embeddings, for all images")

    def in_words(self) -> str:
        """Which model looks at the images."""
        return f"ONNX model {self.weights}"

    def fingerprint(self) -> str:
        """A hash of the model's file, and that of the embeddings; another model makes a new cycle due."""
        return " ".join(sha256_of(path) for path in (self.weights, self.embeddings) if path and path.is_file())
