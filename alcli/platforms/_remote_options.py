"""Options in ``[platform]`` that every platform on the network has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from alcli.config import PlatformOptions


class RemoteOptions(PlatformOptions):
    """How long to wait for a service, and where its images may lie."""

    timeout: float = Field(60, gt=0, le=86_400, description="seconds without a byte after which a request has failed")
    deadline: float = Field(
        120, gt=0, le=86_400, description="seconds for one request in all, with repetitions and its body"
    )
    backoff: float = Field(
        0.5, ge=0, le=3_600, description="seconds before the first repetition; doubled each time, with jitter"
    )
    allow_private_hosts: bool = Field(False, description="fetch images from addresses in private networks, too")

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """Private hosts are asked."""
        if self.allow_private_hosts:
            return {"allow_private_hosts": "Images would be fetched from addresses in private networks."}
        return {}
