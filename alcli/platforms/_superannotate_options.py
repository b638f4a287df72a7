"""Options of the SuperAnnotate platform in ``[platform]``."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from alcli.platforms._remote_options import RemoteOptions

PUBLIC_URL = "https://api.superannotate.com"
PUBLIC_HOST = re.compile(r"([a-z0-9-]+\.)*superannotate\.com", re.IGNORECASE)


class SuperannotateOptions(RemoteOptions):
    """Which project, whose token, which statuses, and how long to wait for the service."""

    images: Path | None = Field(None, description="local copy of the project's images; default: they are downloaded")
    project: str | None = Field(None, description='"Project", "Project/folder" or "Project/*" (all folders)')
    folders: tuple[str, ...] = Field((), description="several folders of the project; root is its root")
    url: str = Field("", description="address of the service; empty: SA_URL, or the public one")
    token_file: Path | None = Field(None, description="file with the token, readable by its owner only")
    labeled_statuses: tuple[str, ...] = Field(("Completed",), description="statuses of annotated items")
    pool_statuses: tuple[str, ...] = Field(("NotStarted",), description="statuses of items to rank; others are skipped")

    def outside_effects(self, workspace: Path) -> dict[str, str]:
        """A token goes to another host than SuperAnnotate's, a file is sent as a token, private hosts are asked."""
        effects = super().outside_effects(workspace)
        if self.url and not is_public(self.url):
            effects["url"] = f"SuperAnnotate's token would be sent to {self.url}."
        if self.token_file is not None:
            effects["token_file"] = f"{self.token_file} would be sent to {self.url or PUBLIC_URL} as a token."
        return effects


def is_public(url: str) -> bool:
    """Whether the address is SuperAnnotate's own, over https; False for anything doubtful, such as a user's name."""
    try:
        parts = urlsplit(url.strip())
        standard = parts.port in (None, 443)
    except ValueError:
        return False
    plain = parts.netloc.removesuffix(f":{parts.port}")
    return standard and parts.scheme == "https" and PUBLIC_HOST.fullmatch(plain) is not None
