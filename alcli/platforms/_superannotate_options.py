"""Options of the SuperAnnotate platform in ``[platform]``, and the credentials of an account."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from alcli.config import PlatformOptions

PUBLIC_URL = "https://api.superannotate.com"


class SuperannotateOptions(PlatformOptions):
    """Which project, whose token, which statuses, and how long to wait for the service."""

    images: Path | None = Field(None, description="local copy of the project's images; default: they are downloaded")
    project: str | None = Field(None, description='"Project", "Project/folder" or "Project/*" (all folders)')
    folders: tuple[str, ...] = Field((), description="several folders of the project; root is its root")
    url: str = Field("", description="address of the service; empty: SA_URL, or the public one")
    token_file: Path | None = Field(None, description="file with the token, readable by its owner only")
    labeled_statuses: tuple[str, ...] = Field(("Completed",), description="statuses of annotated items")
    pool_statuses: tuple[str, ...] = Field(("NotStarted",), description="statuses of items to rank; others are skipped")
    timeout: float = Field(60, gt=0, description="seconds without a byte after which a request has failed")
    deadline: float = Field(120, gt=0, description="seconds for one request in all, with repetitions and its body")
    backoff: float = Field(0.5, ge=0, description="seconds before the first repetition; doubled each time, with jitter")
    allow_private_hosts: bool = Field(False, description="fetch images from addresses in private networks, too")


@dataclass(frozen=True)
class Credentials:
    """A token, the source it was read from, and the address of its service; only the token is hidden."""

    token: str = field(repr=False)
    source: str
    url: str
