"""Options of detection, readable without torch."""

from typing import Literal

from pydantic import Field

from alcli.config import TaskOptions


class DetectionOptions(TaskOptions):
    """Settings of detection only."""

    box_weights: Literal["anchors", "boxes"] = Field(
        "anchors", description="anchors: a box trains as often as it matches an anchor; boxes: all of an image alike"
    )
