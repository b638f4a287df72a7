"""Download images from untrusted addresses in a project: once, atomically, without the token.

What a host sends is kept only if it begins like an image and is complete. An image is given up only after its host has
refused it twice, half a day apart: one bad night at a host must not cost an image. And some images whose hosts do not
answer must not cost a night: strangers write these addresses.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urljoin

import requests
import tenacity

from alcli.errors import AlcliError, DataError, PlatformError, Unreadable
from alcli.platforms._answers import AGAIN, ATTEMPTS, LONGEST_PAUSE, Transient
from alcli.platforms._http import (
    CONNECT_SECONDS,
    AddressGuard,
    Clock,
    GuardedAdapter,
    OutOfTime,
    certificates,
    limited,
    origin,
    proxies,
)
from alcli.platforms._remote_options import RemoteOptions
from alcli.system.clock import LARGEST_SKEW
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of, sha256_of_text

LARGEST_IMAGE = 256 * 2**20
PIECE = 2**16
MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
GONE = (404, 410)
EXPIRED = (400, 401, 403)
"""How stores refuse an address whose signature is too old."""
SECONDS_UNTIL_BELIEVED = 12 * 3600.0
MOST_UNANSWERED = 3
"""Images of one run whose hosts may fail; one more is an error of the platform."""
SECONDS_TO_SPARE = 30.0
"""What all requests of one run may lose to hosts that are too slow, in addition to one deadline."""
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How the formats that alcli decodes begin, in addition to WebP."""
TEXT_TYPES = ("text/", "application/json", "application/xml", "application/xhtml")
GetSource = Callable[[], tuple[str, Mapping[str, str]]]


class Expired(Unreadable):
    """The host refuses an address that it may have signed for a time that is over."""


class Refused(Exception):
    """The host says that there is no such image; believed when it says so twice."""


class Downloads:
    """A folder of downloaded images; file names are hashes, so no image name can point outside the folder.

    Args:
        service: the address of the service, which the user named; images may lie there, wherever it is.
    """

    def __init__(self, folder: Path, options: RemoteOptions, service: str = "") -> None:
        self._folder = folder
        self._read_seconds, self._seconds = options.timeout, options.deadline
        self._unanswered: dict[Path, str] = {}
        self._lost, self._lock = 0.0, threading.Lock()
        named = [origin(service)[1:]] if service else []
        self._guard = AddressGuard(named, options.allow_private_hosts)
        self._adapter = GuardedAdapter(self._guard)
        self._policy = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Transient),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_before_delay(options.deadline)),
            wait=tenacity.wait_random_exponential(multiplier=options.backoff, max=LONGEST_PAUSE),
            reraise=True,
        )

    def file(self, key: str, get_source: GetSource) -> Path:
        """The local file of an image, downloaded when it is missing.

        Args:
            key: identifies the image permanently.
            get_source: returns (address, headers); called only when a download is needed, and once more when the
                address may have expired.

        Raises:
            Unreadable: what came is no image, the host refuses it for the first time, or it is one of the first
                ``MOST_UNANSWERED`` whose host does not answer, or not in time; asked for again next time.
            DataError: the image cannot be downloaded: an invalid address, refused twice.
            PlatformError: its host does not answer, or not in time.
        """
        path = self.place(key)
        if path.is_file():
            return path
        if reason := self._unanswered.get(path):
            raise Unreadable(reason)
        url, headers = get_source()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        clock = Clock(max(min(self._seconds, self._seconds + SECONDS_TO_SPARE - self._lost), 1.0))
        try:
            self._download(url, headers, path, clock)
        except Expired:
            again, headers = get_source()
            if again == url:
                raise
            self._download(again, headers, path, clock)
        _note(path).unlink(missing_ok=True)
        return path

    def _download(self, url: str, headers: Mapping[str, str], path: Path, clock: Clock) -> None:
        host = _origin(url)[1]
        try:
            self._policy(lambda: clock.call(lambda: self._fetch(url, headers, path, clock)))
        except Transient as failure:
            raise self._give_up(path, host, str(failure), clock) from None
        except OutOfTime as failure:
            slow = "If images are large and the line is slow, raise platform.deadline."
            raise self._give_up(path, host, str(failure), clock, slow) from None
        except Refused as refusal:
            raise self._refuse(path, str(refusal)) from None

    def drop(self, key: str) -> bool:
        """Drop the file of an image that cannot be decoded; whether it will be asked for again.

        If its host sends the same bytes again, they are refused like an image that is gone.
        """
        path = self.place(key)
        if not path.is_file():
            return False
        self._refuse(path, _undecodable(path))
        path.unlink(missing_ok=True)
        return True

    def place(self, key: str) -> Path:
        """Where the image's file lies, or will lie."""
        digest = sha256_of_text(key)
        return self._folder / digest[:2] / digest

    def _give_up(self, path: Path, host: str, reason: str, clock: Clock, slow: str = "") -> AlcliError:
        """The error for a host that does not answer: of this image, or after some of them of the platform."""
        with self._lock:
            self._lost += clock.seconds - clock.left
            if len(self._unanswered) < MOST_UNANSWERED:
                self._unanswered[path] = f"{host} does not send it: {reason}"
                return Unreadable(self._unanswered[path])
        gone = "If it is gone for good, leave its images out: alcli skip LIST"
        return PlatformError(
            f"Images at {host} cannot be fetched: {reason}.", do=" ".join(filter(None, (AGAIN, slow, gone)))
        )

    def _refuse(self, path: Path, reason: str) -> DataError:
        """The error for a refusal: transient unless the note of an earlier run says the same."""
        note = _note(path)
        with contextlib.suppress(OSError):
            if note.read_text(encoding="utf-8") == reason:
                age = time.time() - note.stat().st_mtime
                if age < -LARGEST_SKEW:
                    os.utime(note)  # written by a clock that was wrong: it counts from now on
                believed = age >= SECONDS_UNTIL_BELIEVED
                return DataError(reason) if believed else Unreadable(reason)
        with contextlib.suppress(OSError):
            note.write_text(reason, encoding="utf-8")
        return Unreadable(reason)

    def _fetch(self, url: str, headers: Mapping[str, str], path: Path, clock: Clock) -> None:
        try:
            with self._open(url, headers, clock) as response:
                pieces = _checked(response, clock)
                # Not among the images, so that leftovers of a killed run are found without listing all of them.
                with atomic_write(path, "wb", beside=self._folder) as stream:
                    for piece in pieces:
                        stream.write(piece)
                    clock.check()
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise Transient(type(error).__name__) from None
        except (requests.RequestException, ValueError) as error:
            # urllib3 and http.client raise ValueError for an invalid address or header.
            raise Refused(f"its address cannot be used ({type(error).__name__})") from None
        with contextlib.suppress(OSError):
            if _note(path).read_text(encoding="utf-8") == (reason := _undecodable(path)):
                path.unlink()
                raise Refused(reason)

    def _open(self, url: str, headers: Mapping[str, str], clock: Clock) -> requests.Response:
        """The response at the end of the redirects; headers go to the first host only.

        A session would add passwords from ``~/.netrc``, carry cookies, and follow redirects without being asked.
        """
        first = _origin(url)
        for _ in range(MOST_REDIRECTS + 1):
            here = _origin(url, Refused)
            ways = proxies(url)
            if requests.utils.select_proxy(url, ways):
                self._guard.check_literal(here[1])
            sent = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers if here == first else {})}
            request = requests.Request("GET", url, headers=sent).prepare()
            timeouts = (min(CONNECT_SECONDS, clock.left or 1.0), self._read_seconds)
            response = self._adapter.send(request, stream=True, timeout=timeouts, verify=certificates(), proxies=ways)
            if response.status_code not in REDIRECTS or not response.headers.get("Location"):
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
        raise Unreadable(f"its address leads from one to the next, more than {MOST_REDIRECTS} times")


def _origin(url: str, error: type[Exception] = DataError) -> tuple[str, str, int]:
    try:
        return origin(url)
    except ValueError:
        raise error(f"its address is not http or https: {url[:200]!r}") from None


def _checked(response: requests.Response, clock: Clock) -> Iterator[bytes]:
    """The pieces of an image.

    Raises:
        Transient, Refused, Unreadable: the response is no image, or not all of one.
    """
    _check_status(response.status_code)
    expected = response.headers.get("Content-Length", "")
    too_large = Refused(f"it is larger than {LARGEST_IMAGE >> 20} MiB")
    if expected.isdecimal() and int(expected) > LARGEST_IMAGE:
        raise too_large
    pieces = iter(limited(response.iter_content(PIECE), LARGEST_IMAGE, too_large, clock))
    first = next(pieces, b"")
    check_start(first, response.headers.get("Content-Type", ""))
    size = len(first)
    yield first
    for piece in pieces:
        size += len(piece)
        yield piece
    if expected.isdecimal() and "Content-Encoding" not in response.headers and size < int(expected):
        raise Transient(f"{size} of {expected} bytes arrived")


def _check_status(status: int) -> None:
    if status in (408, 425, 429) or status >= 500:
        raise Transient(f"status {status}")
    if status in GONE:
        raise Refused(f"it cannot be downloaded: status {status}")
    if status in EXPIRED:
        raise Expired(f"it cannot be downloaded: status {status}")
    if status != 200:
        # Not for good: a log-in page may be in between.
        raise Unreadable(f"it cannot be downloaded: status {status}")


def check_start(start: bytes, kind: str) -> None:
    """Raise Unreadable or Refused unless a body begins like an image."""
    if start.startswith(STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return
    if not start:
        raise Unreadable("its host sent nothing instead of an image")
    is_text = not start[:512].translate(None, bytes(range(32, 256)) + b"\t\n\r\f")
    if kind.startswith(TEXT_TYPES) or (is_text and not kind.startswith("image/")):
        raise Unreadable("its host sent a page or a text instead of an image; is there a log-in page in between?")
    raise Refused("its host sent something that is not an image that alcli can read")


def _note(path: Path) -> Path:
    return path.with_suffix(".refused")


def _undecodable(path: Path) -> str:
    return f"it cannot be decoded, and its host sent the same bytes again ({sha256_of(path)[:12]})"
