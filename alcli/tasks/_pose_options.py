"""Options of pose, readable without torch."""

from __future__ import annotations

from pydantic import Field

from alcli.config import TaskOptions


class PoseOptions(TaskOptions):
    """Settings of pose only."""

    subject: str = Field("person", description="the class of what has the joints")
    flip_pairs: tuple[tuple[str, str], ...] = Field(
        (), description="joints that change places in a mirror; empty: left… and right… by name"
    )
    sigmas: dict[str, float] = Field({}, description="OKS sigmas by joint; default: COCO's and CrowdPose's")

    def before_any_class(self) -> PoseOptions:
        """These options without the settings that name joints."""
        return self.model_copy(update={"flip_pairs": (), "sigmas": {}})
