"""Tell another program by HTTP: one POST of JSON, signed, within a few seconds."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

SIGNATURE, MOMENT = "X-Alcli-Signature", "X-Alcli-Time"


def sign(secret: str, moment: str, body: bytes) -> str:
    """``sha256=…``: the HMAC of the moment, a full stop, and the body."""
    digest = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def post(url: str, document: Mapping[str, Any], secret: str, seconds: float) -> str:
    """Post the document, once; returns why it failed, or an empty text.

    The address may hold a secret, so no message names it. Redirects are not followed.

    Args:
        secret: signs the body and the time, so that a receiver can refuse others and old ones; empty: unsigned.
        seconds: without an answer, after which it has failed.
    """
    import requests  # a command that notifies nobody does not pay for it

    body = json.dumps(document, sort_keys=True).encode()
    headers = {"Content-Type": "application/json", MOMENT: str(int(time.time()))}
    if secret:
        headers[SIGNATURE] = sign(secret, headers[MOMENT], body)
    with requests.Session() as session:
        session.trust_env = False  # no password of ~/.netrc
        session.proxies.update(requests.utils.get_environ_proxies(url))
        try:
            answer = session.post(url, data=body, headers=headers, timeout=seconds, allow_redirects=False, stream=True)
        except (requests.RequestException, ValueError, UnicodeError) as error:
            return type(error).__name__
    return "" if answer.status_code < 300 else f"status {answer.status_code}"
