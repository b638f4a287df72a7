"""Tokens of services on the network, the private files in which they lie, and the addresses to which they may go."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from alcli.errors import AuthError, UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Credentials:
    """A token, the source it was read from, and the address of its service; only the token is hidden."""

    token: str = field(repr=False)
    source: str
    url: str


def private_text(path: Path, do: str) -> str:
    """The content of a file with a secret; raises AuthError, with the advice ``do``, if it cannot be read.

    Raises:
        AuthError: other users can read the file, too.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise AuthError(f"Other users can read the token in {path}.", do=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthError(f"The token file {path} cannot be read: {_reason(error)}.", do=do) from None


def service_address(url: str, example: str, plain_http: bool = False, advice: str = "") -> str:
    """The address without a trailing slash; raises UsageError if it would expose the token.

    Args:
        example: an address that would do, for messages.
        plain_http: whether the token may go to other machines unencrypted.
        advice: how to allow that, for messages.
    """
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # urlsplit checks the port only when it is read
    except ValueError as error:
        raise UsageError(f"{url!r} is not the address of a service: {error}.", do=f"Like {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not the address of a service.", do=f"Like {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("The address of the service may only have scheme, host and path.", do=f"Like {example}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not plain_http:
        raise UsageError(
            f"{url}: the token would be sent unencrypted.",
            do=f"Use https; plain http is allowed only for this machine. {advice}".rstrip(),
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _reason(error: Exception) -> str:
    return error.strerror or "error" if isinstance(error, OSError) else "not UTF-8 text"
