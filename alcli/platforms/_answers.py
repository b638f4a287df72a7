"""What the answer of a service means: retry, log in again, wrong address; alike for every platform on the network."""

from __future__ import annotations

import email.utils
import math
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

import requests
import tenacity

from alcli.errors import AuthError, PlatformError
from alcli.platforms._http import Clock, OutOfTime, limited

ATTEMPTS = 5
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 365 * 86400.0
LARGEST_ANSWER = 512 * 2**20
PIECE = 2**16
KEPT = "Everything done before this is kept."
AGAIN = "Run the same command again later."
ROTATE = (
    "Rotate it with an overlap: make a new key, put it in the place of this one, run `alcli doctor --online`, and only "
    "then revoke the old one."
)


class Transient(Exception):
    """A failure that a retry may fix.

    Attributes:
        wait: seconds to wait, as the service requested; None if it did not.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def check_answer(status: int, headers: Mapping[str, str], what: str, source: str) -> None:
    """Raise Transient, AuthError or PlatformError unless the answer can be read.

    Args:
        what: the request, for messages.
        source: where the token came from.
    """
    if status in (408, 425, 429) or status >= 500:
        raise Transient(f"status {status}", retry_after(headers.get("Retry-After"), headers.get("Date")))
    if 300 <= status < 400:
        raise PlatformError(
            f"{what} was redirected; alcli does not send the token to another address.",
            kept=KEPT,
            do="Is platform.url right?",
        )
    if status in (401, 403):
        why = "was rejected" if status == 401 else "is not allowed to do this"
        do = f"Is it complete, and for this service? If it has expired or was revoked: {ROTATE[0].lower()}{ROTATE[1:]}"
        raise AuthError(
            f"The token from {source} {why} ({status} to {what}).",
            kept=KEPT,
            do=do if status == 401 else "Check the token, and the role of its user in the project.",
        )
    if "text/html" in headers.get("Content-Type", ""):
        raise PlatformError(
            f"{what} returned a web page instead of JSON.",
            kept=KEPT,
            do="Is platform.url right? A proxy or a log-in page may be in between.",
        )


def growing_pause(backoff: float) -> Callable[[tenacity.RetryCallState], float]:
    """The seconds before each repetition: as the service asks, or doubled each time, with jitter."""

    def seconds(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        jittered = backoff * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)
        requested = error.wait if isinstance(error, Transient) and error.wait is not None else 0.0
        return max(requested, min(jittered, LONGEST_PAUSE))

    return seconds


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds to wait according to ``Retry-After``, which may be a number or a date; None if it is invalid.

    Args:
        date: of the response; by it, not by this machine's clock, a date is so far away.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    skew = skew_of(text)
    return None if skew is None else max(0.0, (skew_of(date) or 0.0) - skew)


def skew_of(date: str | None) -> float | None:
    """Seconds from an HTTP date until now; None if it is not a date."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)  # "-0000" means UTC without a known local zone
        return (datetime.now(timezone.utc) - moment).total_seconds()
    except (ValueError, OverflowError, TypeError):
        return None


def unanswered(service: str, what: str, failure: Transient) -> PlatformError:
    """The error after the last retry."""
    wait = f"; the service asks to wait {failure.wait:.0f} s" if failure.wait else ""
    return PlatformError(f"{service} did not complete {what}: {failure}{wait}.", kept=KEPT, do=AGAIN)


def too_slow(service: str, what: str, failure: OutOfTime) -> PlatformError:
    """The error after the whole time for a request."""
    return PlatformError(
        f"{service} did not complete {what}: {failure}.",
        kept=KEPT,
        do=f"{AGAIN} If the line is slow, raise platform.deadline.",
    )


def short_reason(error: BaseException) -> str:
    """The kind of failure; messages of network libraries repeat whole addresses."""
    if isinstance(error, (requests.Timeout, TimeoutError)):
        return "no answer in time"
    return f"the connection failed ({type(error).__name__})"


def read_body(response: requests.Response) -> None:
    """Read the body, as ``requests`` would, but not without a limit."""
    too_large = PlatformError(f"The service's answer is larger than {LARGEST_ANSWER >> 20} MiB.", kept=KEPT, do=AGAIN)
    try:
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > LARGEST_ANSWER:
            raise too_large
        pieces = limited(response.iter_content(PIECE), LARGEST_ANSWER, too_large, Clock(math.inf))
        # A private name, but requests has no public one for a body that somebody else has read.
        response._content = b"".join(pieces)
    except BaseException:
        response.close()
        raise
