"""Options of the Label Studio platform in ``[platform]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from alcli.platforms._remote_options import RemoteOptions


class LabelStudioOptions(RemoteOptions):
    """Which project, whose token, whose annotations count, and how long to wait for the server."""

    images: Path | None = Field(None, description="local copy of the project's images; what it lacks is downloaded")
    project: str | None = Field(None, description="title or number of the project")
    url: str = Field("", description="address of the server; empty: LABEL_STUDIO_URL")
    token_file: Path | None = Field(None, description="file with the token, readable by its owner only")
    plain_http: bool = Field(False, description="send the token unencrypted to another machine, such as one of a LAN")
    control: str = Field("", description="name of the control whose results count; empty: all that fit the task")
    annotator: str = Field(
        "newest", description="which of several annotations counts: newest, majority (of choices), or a person's email"
    )
    old_scores: Literal["slowly", "at once", "keep"] = Field(
        "slowly", description="how scores of earlier cycles are removed; at once blocks annotators of a SQLite server"
    )

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """A token goes to the server that is named, a file is sent as a token, private hosts are asked."""
        effects = super().outside_effects(workspace)
        if self.url:
            effects["url"] = f"Label Studio's token would be sent to {self.url}."
        if self.token_file is not None:
            effects["token_file"] = f"{self.token_file} would be sent to {self.url or 'LABEL_STUDIO_URL'} as a token."
        if self.plain_http:
            effects["plain_http"] = "The token would be sent unencrypted."
        return effects
