"""Find the token: in the environment, in a private file, or in the SDK's configuration."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from alcli.errors import AuthError
from alcli.platforms._credentials import Credentials, private_text, service_address
from alcli.platforms._superannotate_options import PUBLIC_URL, SuperannotateOptions
from alcli.system.redaction import keep_secret

SHAPES = (re.compile(r"[-.@_A-Za-z0-9]+=\d+"), re.compile(r"[-_A-Za-z0-9]{32,}"))
WHERE = "Set SA_TOKEN, name a file with --token-file, or run `superannotatecli init`."


def find_credentials(
    options: SuperannotateOptions, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> Credentials:
    """Look for the token in ``SA_TOKEN``, ``platform.token_file`` and ``~/.superannotate/config.ini``, in this order.

    Raises:
        AuthError: there is no token, its file is readable by others, or it does not look like a token.
        UsageError: the service's address is not valid.
    """
    settings = _ini_file(home)
    url = options.url or environ.get("SA_URL", "")
    if environ.get("SA_TOKEN"):
        token, source = environ["SA_TOKEN"], "SA_TOKEN in the environment"
    elif options.token_file is not None:
        token, source = private_text(options.token_file, WHERE), str(options.token_file)
    elif settings is not None and settings.is_file():
        token, in_file = _from_ini(settings)
        source, url = str(settings), _url_of_ini(url, in_file or PUBLIC_URL, settings)
    else:
        raise AuthError("There is no SuperAnnotate token.", do=WHERE)
    token = token.strip()
    keep_secret(token)
    if not any(shape.fullmatch(token) for shape in SHAPES):
        raise AuthError(
            f"The content of {source} does not look like a SuperAnnotate token.", do="Copy the whole token again."
        )
    return Credentials(token, source, normalize_url(url or PUBLIC_URL))


def _ini_file(home: Path | None) -> Path | None:
    """The SDK's configuration; None for a user without a home."""
    try:
        return (home or Path.home()) / ".superannotate" / "config.ini"
    except RuntimeError:
        return None


def _url_of_ini(url: str, in_file: str, settings: Path) -> str:
    """The address for the token of the SDK's configuration, which goes only to the host that it names."""
    if url and urlsplit(normalize_url(url))[:2] != urlsplit(normalize_url(in_file))[:2]:
        raise AuthError(
            f"The token in {settings} is for {in_file}; it is not sent to {url}.",
            do=f"Set SA_TOKEN to the token of {url}, or name its file with --token-file.",
        )
    return url or in_file


def normalize_url(url: str) -> str:
    """The address without a trailing slash; raises UsageError if it would expose the token."""
    return service_address(url, PUBLIC_URL)


def _from_ini(path: Path) -> tuple[str, str]:
    """(token, address or "") in the SDK's configuration."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(private_text(path, WHERE))
    except configparser.Error:
        # The parser's message quotes the line, which may contain the token.
        raise AuthError(f"{path} is not an INI file.", do="Run `superannotatecli init` again.") from None
    values = parser.defaults()
    return values.get("sa_token", ""), values.get("sa_url", "")
