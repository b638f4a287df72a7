"""Requests to one Label Studio server: token, deadline, repetitions, precise errors; no redirect is followed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import tenacity

from alcli.errors import AuthError, DataError, PlatformError
from alcli.platforms._answers import (
    AGAIN,
    ATTEMPTS,
    KEPT,
    Transient,
    check_answer,
    growing_pause,
    read_body,
    short_reason,
    skew_of,
    too_slow,
    unanswered,
)
from alcli.platforms._credentials import Credentials
from alcli.platforms._http import CONNECT_SECONDS, Clock, OutOfTime, certificates, proxies
from alcli.platforms._label_studio_options import LabelStudioOptions
from alcli.platforms._label_studio_token import ShortLived, is_personal
from alcli.system.redaction import redact

SERVICE = "Label Studio"
LONGEST_DETAIL = 300


class Gone(PlatformError):
    """The server says that there is no such thing (404)."""


class TooLarge(DataError):
    """The request is larger than the server, or a proxy before it, takes (413)."""


class Wire:
    """The requests of one account.

    Attributes:
        skew: seconds by which this machine's clock is ahead of the server's; None before the first answer.
    """

    def __init__(self, credentials: Credentials, options: LabelStudioOptions) -> None:
        self.credentials = credentials
        self.requests = 0
        self.skew: float | None = None
        self._deadline, self._timeouts = options.deadline, (CONNECT_SECONDS, options.timeout)
        self._session = requests.Session()
        self._session.trust_env = False  # no password of ~/.netrc
        self._short_lived: ShortLived | None = None
        self._lock = threading.Lock()
        self._policy: dict[str, Any] = {
            "retry": tenacity.retry_if_exception_type(Transient),
            "stop": tenacity.stop_any(
                tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_before_delay(options.deadline)
            ),
            "wait": growing_pause(options.backoff),
            "reraise": True,
        }

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at a path; raises Gone, AuthError or PlatformError."""
        return self._json("GET", path, parameters=parameters)

    def send(self, method: str, path: str, content: Any, repeat: bool = True, **parameters: Any) -> Any:
        """The JSON answer to a request with JSON; raises Gone, AuthError, DataError or PlatformError.

        Args:
            repeat: whether the same request twice is as good as once.
        """
        return self._json(method, path, content, repeat, parameters)

    def upload(self, path: str, files: list[tuple[str, tuple[str, bytes]]], **parameters: Any) -> Any:
        """The JSON answer to a form with files, which is sent once."""
        return self._json("POST", path, None, False, parameters, files)

    def headers(self) -> dict[str, str]:
        """What proves who asks."""
        token = self.credentials.token
        if not is_personal(token):
            return {"Authorization": f"Token {token}"}
        with self._lock:
            if self._short_lived is None or self._short_lived.is_over:
                self._short_lived = ShortLived(self._buy(token))
            return {"Authorization": self._short_lived.header}

    def _buy(self, token: str) -> str:
        answer = self._answer("POST", "/api/token/refresh/", {"refresh": token}, True, {}, authorized=False)
        access = answer.get("access") if isinstance(answer, dict) else None
        if not isinstance(access, str):
            raise AuthError(f"{SERVICE} gave no access for the token from {self.credentials.source}.", kept=KEPT)
        return access

    def _json(
        self, method: str, path: str, content: Any = None, repeat: bool = True, parameters: Mapping[str, Any] = {},
        files: Any = None,
    ) -> Any:  # fmt: skip
        try:
            return self._answer(method, path, content, repeat, parameters, files)
        except AuthError:
            # A short-lived token may end before its time: the server was restarted, or its clock was set.
            if self._short_lived is None or not repeat:
                raise
            self._short_lived = None
            return self._answer(method, path, content, repeat, parameters, files)

    def _answer(
        self, method: str, path: str, content: Any, repeat: bool, parameters: Mapping[str, Any], files: Any = None,
        authorized: bool = True,
    ) -> Any:  # fmt: skip
        what = f"{method} {path}"
        headers = self.headers() if authorized else {}
        clock = Clock(self._deadline)
        policy = self._policy if repeat else {**self._policy, "stop": tenacity.stop_after_attempt(1)}

        def once() -> Any:
            return self._once(method, path, content, parameters, files, headers, what)

        try:
            return tenacity.Retrying(**policy)(lambda: clock.call(once))
        except Transient as failure:
            raise unanswered(SERVICE, what, failure) from None
        except OutOfTime as failure:
            raise too_slow(SERVICE, what, failure) from None

    def _once(
        self, method: str, path: str, content: Any, parameters: Mapping[str, Any], files: Any,
        headers: Mapping[str, str], what: str,
    ) -> Any:  # fmt: skip
        url = self.credentials.url + path
        self.requests += 1
        try:
            response = self._session.request(
                method, url, params=parameters, json=content, files=files, headers=dict(headers), stream=True,
                timeout=self._timeouts, allow_redirects=False, verify=certificates(), proxies=proxies(url),
            )  # fmt: skip
            read_body(response)  # here, so that a truncated or stalled body is repeated, too
        except requests.RequestException as error:
            raise Transient(short_reason(error)) from None
        if response.status_code == 404 and "json" in response.headers.get("Content-Type", ""):
            raise Gone(f"{SERVICE} has nothing at {what}.", kept=KEPT, do="Is platform.url right?")
        if response.status_code == 413:
            raise TooLarge(f"{what} is larger than {SERVICE} takes.", kept=KEPT, do="Raise the limit of its proxy.")
        check_answer(response.status_code, response.headers, what, self.credentials.source)
        self.skew = skew_of(response.headers.get("Date"))
        if response.status_code >= 400:
            raise DataError(f"{SERVICE} refused {what}: {_detail(response)}.", kept=KEPT, do=AGAIN)
        return _parsed(response, what)


def _parsed(response: requests.Response, what: str) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        host = urlsplit(response.url).netloc
        raise PlatformError(
            f"{what} returned something that is not JSON.", kept=KEPT, do=f"Is {host} a Label Studio server?"
        ) from None


def _detail(response: requests.Response) -> str:
    """The server's own words, as far as they are short."""
    try:
        content = response.json()
    except ValueError:
        return f"status {response.status_code}"
    errors = content.get("validation_errors") or content.get("detail") if isinstance(content, dict) else content
    return redact(f"{response.status_code}, {errors}"[:LONGEST_DETAIL])
