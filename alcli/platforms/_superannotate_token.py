"""Where the token comes from: environment, a file that only its owner can read, or the SDK's own configuration."""

from __future__ import annotations

import configparser
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from alcli.errors import AuthError, UsageError
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.system.redaction import keep_secret

PUBLIC_URL = "https://api.superannotate.com"
SHAPES = (re.compile(r"[-.@_A-Za-z0-9]+=\d+"), re.compile(r"[-_A-Za-z0-9]{32,}"))
LOOPBACK = ("127.0.0.1", "::1", "localhost")
WHERE = "Set SA_TOKEN, name a file with --token-file, or run `superannotatecli init`."


@dataclass(frozen=True)
class Credentials:
    """A token, what it was read from (never shown without the other), and the service it belongs to."""

    token: str = field(repr=False)
    source: str
    url: str


def find(
    options: SuperannotateOptions, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> Credentials:
    """The first token found: ``SA_TOKEN``, ``platform.token_file``, ``~/.superannotate/config.ini``.

    Raises:
        AuthError: there is none, others can read its file, or it has not the shape of a token.
        UsageError: the service's address cannot be used.
    """
    settings = (home or Path.home()) / ".superannotate" / "config.ini"
    url = options.url or environ.get("SA_URL", "")
    if environ.get("SA_TOKEN"):
        token, source = environ["SA_TOKEN"], "SA_TOKEN in the environment"
    elif options.token_file is not None:
        token, source = _private_text(options.token_file), str(options.token_file)
    elif settings.is_file():
        token, in_file = _from_ini(settings)
        source, url = str(settings), url or in_file
    else:
        raise AuthError("There is no SuperAnnotate token.", do=WHERE)
    token = token.strip()
    keep_secret(token)
    if not any(shape.fullmatch(token) for shape in SHAPES):
        raise AuthError(f"What {source} holds has not the shape of a SuperAnnotate token.", do="Copy it again, whole.")
    return Credentials(token, source, normalised(url or PUBLIC_URL))


def normalised(url: str) -> str:
    """The address without a trailing slash; raises UsageError where a token would travel unprotected."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # asked for here, because only then it is looked at
    except ValueError as error:
        raise UsageError(f"{url!r} is not the address of a service: {error}.", do=f"Like {PUBLIC_URL}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not the address of a service.", do=f"Like {PUBLIC_URL}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("The address of the service carries more than scheme, host and path.", do=f"Like {PUBLIC_URL}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise UsageError(f"{url}: the token would travel unencrypted.", do="Use https; plain http is for this machine.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _private_text(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise AuthError(f"Others can read the token in {path}.", do=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthError(f"The token file {path} cannot be read: {_reason(error)}.", do=WHERE) from None


def _from_ini(path: Path) -> tuple[str, str]:
    """(token, address or "") of the SDK's own configuration."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_private_text(path))
    except configparser.Error:
        # The parser's message quotes the line, which may be the token's.
        raise AuthError(f"{path} is not an INI file.", do="Run `superannotatecli init` again.") from None
    values = parser.defaults()
    return values.get("sa_token", ""), values.get("sa_url", "")


def _reason(error: Exception) -> str:
    return error.strerror or "error" if isinstance(error, OSError) else "not UTF-8 text"
