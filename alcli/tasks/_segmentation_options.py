"""Options of segmentation, readable without torch."""

from typing import Literal

from pydantic import Field

from alcli.config import TaskOptions


class SegmentationOptions(TaskOptions):
    """Settings of segmentation only."""

    ignore_index: int = Field(255, ge=0, le=65_535, description="pixels of this id neither train nor count")
    class_weights: Literal["sqrt", "none"] = Field(
        "sqrt", description="sqrt: a pixel trains by √(mean frequency ÷ frequency of its class); none: all alike"
    )
