"""Options of segmentation, readable without torch."""

from pydantic import Field

from alcli.config import TaskOptions


class SegmentationOptions(TaskOptions):
    """Settings of segmentation only."""

    ignore_index: int = Field(255, ge=0, le=65_535, description="pixels of this id neither train nor count")
