"""Options of classification, readable without torch."""

from pydantic import Field

from alcli.config import TaskOptions


class ClassificationOptions(TaskOptions):
    """Settings of classification only."""

    multi_label: bool = Field(False, description="an image may have several labels, or none")
