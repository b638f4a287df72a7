"""Label Studio's two kinds of token: the legacy one, and the personal one that buys a short-lived one."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from alcli.errors import AuthError, UsageError
from alcli.platforms._credentials import Credentials, private_text, service_address
from alcli.platforms._label_studio_options import LabelStudioOptions
from alcli.system.redaction import keep_secret

EXAMPLE = "http://127.0.0.1:8080"
WHERE = "Set LABEL_STUDIO_API_KEY, or name a file with --token-file. Label Studio shows it under Account & Settings."
LEGACY = re.compile(r"[0-9a-f]{40}")
PERSONAL = re.compile(r"[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+\.[-_A-Za-z0-9]+")
SPARE_SECONDS = 30.0
"""How long before its end a short-lived token is renewed."""
UNKNOWN_SECONDS = 60.0
"""How long a short-lived token is used that does not say when it ends."""


def find_credentials(options: LabelStudioOptions, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Look for the token in ``LABEL_STUDIO_API_KEY`` and ``platform.token_file``, in this order.

    Raises:
        AuthError: there is no token, its file is readable by others, or it does not look like a token.
        UsageError: the server's address is missing or not valid.
    """
    url = options.url or environ.get("LABEL_STUDIO_URL", "")
    if not url:
        raise UsageError("Label Studio's address is missing.", do=f"--url {EXAMPLE}, or set LABEL_STUDIO_URL.")
    if environ.get("LABEL_STUDIO_API_KEY"):
        token, source = environ["LABEL_STUDIO_API_KEY"], "LABEL_STUDIO_API_KEY in the environment"
    elif options.token_file is not None:
        token, source = private_text(options.token_file, WHERE), str(options.token_file)
    else:
        raise AuthError("There is no Label Studio token.", do=WHERE)
    token = token.strip()
    keep_secret(token)
    if not LEGACY.fullmatch(token) and not PERSONAL.fullmatch(token):
        raise AuthError(
            f"The content of {source} does not look like a Label Studio token.", do="Copy the whole token again."
        )
    advice = "In a network that you trust: --set platform.plain_http=true"
    return Credentials(token, source, service_address(url, EXAMPLE, options.plain_http, advice))


def is_personal(token: str) -> bool:
    """Whether it is a personal token, which only buys short-lived ones."""
    return PERSONAL.fullmatch(token) is not None


class ShortLived:
    """A token that was bought with a personal one, with the moment at which it has to be renewed."""

    def __init__(self, token: str) -> None:
        keep_secret(token)
        self.header = f"Bearer {token}"
        self._end = time.monotonic() + _lifetime(token) - SPARE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether it has to be renewed."""
        return time.monotonic() >= self._end


def _lifetime(token: str) -> float:
    """Seconds between its making and its end, by the server's own clock: this machine's may be wrong."""
    try:
        body = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return max(float(claims["exp"]) - float(claims["iat"]), 0.0)
    except (ValueError, KeyError, TypeError, IndexError):
        return UNKNOWN_SECONDS
