"""The transport of every request to SuperAnnotate: host check, time-outs, retries and precise errors.

The SDK has no deadline, takes passwords from ``~/.netrc``, never retries a POST, ignores ``Retry-After`` and reports
most failures as a missing project. Here each failure becomes a precise error before the SDK can replace it.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
import tenacity
from requests.adapters import HTTPAdapter

from alcli.errors import AlcliError, PlatformError
from alcli.platforms._answers import (
    AGAIN,
    ATTEMPTS,
    KEPT,
    LARGEST_ANSWER,
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
from alcli.platforms._superannotate_options import PUBLIC_URL, SuperannotateOptions

SERVICES = ("api", "work-management-api", "item", "assets-provider", "explore-service", "telemetry-scoring")
PUBLIC_HOSTS = frozenset(f"{service}.superannotate.com" for service in SERVICES)


class Wire:
    """Host check, retries and error handling for the requests of one account.

    Attributes:
        failure: the last error raised here; the SDK may have replaced it with its own.
        skew: seconds by which this machine's clock is ahead of the service's; None before the first response.
    """

    def __init__(self, credentials: Credentials, options: SuperannotateOptions) -> None:
        self.base = credentials.url
        self.requests = 0
        self.failure: AlcliError | None = None
        self.tls = ssl.create_default_context()
        self.skew: float | None = None
        self.timeouts = (CONNECT_SECONDS, options.timeout)
        self._source = credentials.source
        self.deadline = options.deadline
        self._polled_since: dict[str, float] = {}
        self.policy: dict[str, Any] = {
            "retry": tenacity.retry_if_exception_type(Transient),
            "stop": tenacity.stop_any(
                tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_before_delay(options.deadline)
            ),
            "wait": growing_pause(options.backoff),
            "reraise": True,
        }

    def carries(self, url: str) -> bool:
        """Whether the token may be sent to this address."""
        if self.base == PUBLIC_URL:
            parts = urlsplit(url)
            return parts.scheme == "https" and parts.netloc in PUBLIC_HOSTS
        return url.startswith(self.base + "/")

    def repeat(self, once: Callable[[], requests.Response], what: str, attempts: int) -> requests.Response:
        """The first response that is not a transient failure; raises AuthError or PlatformError."""
        clock = Clock(self.deadline)
        policy = self.policy if attempts > 1 else {**self.policy, "stop": tenacity.stop_after_attempt(1)}
        try:
            return tenacity.Retrying(**policy)(lambda: clock.call(once))
        except Transient as failure:
            raise self.remember(no_answer_error(what, failure)) from None
        except OutOfTime as failure:
            raise self.remember(out_of_time_error(what, failure)) from None
        except AlcliError as error:
            raise self.remember(error) from None

    def check_response(self, status: int, headers: Mapping[str, str], what: str) -> None:
        """Raise Transient, AuthError or PlatformError unless the SDK can read the response."""
        check_answer(status, headers, what, self._source)

    def watch(self, path: str) -> None:
        """Raise PlatformError if the SDK has polled one address for longer than the deadline; it would never stop."""
        if path.endswith("/sync/status"):
            since = self._polled_since.setdefault(path, time.monotonic())
            if time.monotonic() - since > self.deadline:
                del self._polled_since[path]
                raise PlatformError(f"SuperAnnotate did not finish GET {path} in time.", kept=KEPT, do=AGAIN)

    def remember(self, error: AlcliError) -> AlcliError:
        """Remember the error in case the SDK replaces it, and return it."""
        self.failure = error
        return error


_ACTIVE: list[Wire] = []
"""The wire of the service that was configured last, alone: no earlier service's hosts stay allowed."""


def register(wire: Wire) -> Wire:
    """Send requests through this wire only, replacing any earlier one."""
    _ACTIVE[:] = [wire]
    return wire


def wire_for(url: str) -> Wire:
    """The wire for an address; raises PlatformError for a host that must not receive the token."""
    for wire in _ACTIVE:
        if wire.carries(url):
            return wire
    host = urlsplit(url).hostname
    raise PlatformError(f"alcli does not send the token to {host}, which is not a host of the configured service.")


class Carrier(HTTPAdapter):
    """The transport of every ``requests`` session that sends the token."""

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """One response with its body; raises AuthError or PlatformError."""
        url = str(request.url)
        wire = wire_for(url)
        what = f"{request.method} {urlsplit(url).path}"
        # The session does not look at the environment, where it would find the passwords of ~/.netrc, too.
        verify = certificates() if options.get("verify") is True else options.get("verify")
        options |= {"stream": True, "timeout": wire.timeouts, "verify": verify, "proxies": proxies(url)}

        def once() -> requests.Response:
            wire.requests += 1
            try:
                response = super(Carrier, self).send(request, **options)
                read_body(response)  # here, so that a truncated or stalled body is retried, too
            except requests.RequestException as error:
                raise Transient(short_reason(error)) from None
            wire.check_response(response.status_code, response.headers, what)
            wire.skew = skew_of(response.headers.get("Date"))
            return response

        return wire.repeat(once, what, ATTEMPTS if may_repeat(str(request.method), url) else 1)


def new_session() -> requests.Session:
    """A new ``requests`` session in which every request goes through a ``Carrier``; it knows no ``~/.netrc``."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", Carrier())
    session.mount("https://", Carrier())
    return session


def may_repeat(method: str, url: str) -> bool:
    """Whether a request is idempotent; creating a subset twice would create two."""
    return method.upper() == "GET" or not urlsplit(url).path.endswith("/subsets")


async def send_request(
    send: Callable[..., Any], session: aiohttp.ClientSession, method: str, url: str, **options: Any
) -> aiohttp.ClientResponse:
    """Replace ``aiohttp``'s own request: check certificates, refuse redirects, retry failures."""
    wire = wire_for(str(url))
    path = urlsplit(str(url)).path
    what = f"{method.upper()} {path}"
    connect, read = wire.timeouts
    options |= {
        "ssl": wire.tls,
        "allow_redirects": False,
        "raise_for_status": False,
    }
    clock = Clock(wire.deadline)
    copy_form = getattr(session, "_copy_form_data", None)
    try:
        wire.watch(path)
        async for attempt in tenacity.AsyncRetrying(**wire.policy):
            with attempt:
                if copy_form and isinstance(options.get("data"), aiohttp.FormData):
                    options["data"] = copy_form(options["data"])  # a form can be sent only once
                # The total includes the body, which the SDK reads after this function has returned.
                seconds = max(clock.left, 0.001)
                options["timeout"] = aiohttp.ClientTimeout(total=seconds, sock_connect=connect, sock_read=read)
                response: aiohttp.ClientResponse = await _once(wire, send, session, method, url, what, options)
    except Transient as failure:
        raise wire.remember(no_answer_error(what, failure)) from None
    except AlcliError as error:
        raise wire.remember(error) from None
    return response


async def _once(
    wire: Wire,
    send: Callable[..., Any],
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    what: str,
    options: dict[str, Any],
) -> aiohttp.ClientResponse:
    wire.requests += 1
    try:
        response: aiohttp.ClientResponse = await send(session, method, url, **options)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Transient(short_reason(error)) from None
    try:
        wire.check_response(response.status, response.headers, what)
        if (response.content_length or 0) > LARGEST_ANSWER:
            raise PlatformError(f"The answer to {what} is larger than {LARGEST_ANSWER >> 20} MiB.", kept=KEPT, do=AGAIN)
    except BaseException:
        response.release()
        raise
    response.content = _Limited(response.content, what)  # type: ignore[assignment]
    return response


class _Limited:
    """The body of a response: ends with PlatformError when it is larger than allowed."""

    def __init__(self, stream: aiohttp.StreamReader, what: str) -> None:
        self._stream, self._what = stream, what

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The pieces as they come."""
        async for piece in self._stream.iter_any():
            if self._stream.total_bytes > LARGEST_ANSWER:
                what = f"The answer to {self._what} is larger than {LARGEST_ANSWER >> 20} MiB."
                raise PlatformError(what, kept=KEPT, do=AGAIN)
            yield piece

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.iter_any()])


def no_answer_error(what: str, failure: Transient) -> PlatformError:
    """The error after the last retry."""
    return unanswered("SuperAnnotate", what, failure)


def out_of_time_error(what: str, failure: OutOfTime) -> PlatformError:
    """The error after the whole time for a request."""
    return too_slow("SuperAnnotate", what, failure)


def pause(seconds: float) -> None:
    """Sleep before repeating a request whose answer was incomplete; jittered by ±50 %."""
    time.sleep(seconds * random.uniform(0.5, 1.5))
