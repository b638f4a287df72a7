"""Download images from untrusted addresses in a project: once, atomically, without the token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tenacity

from alcli.errors import DataError, PlatformError
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.platforms._superannotate_wire import AGAIN, ATTEMPTS, CONNECT_SECONDS, LONGEST_PAUSE, Transient
from alcli.system.files import atomic_write
from alcli.system.hashing import sha256_of_text

LARGEST_IMAGE = 256 * 2**20
PIECE = 2**16
GetSource = Callable[[], tuple[str, Mapping[str, str]]]


class Downloads:
    """A folder of downloaded images; file names are hashes, so no image name can point outside the folder."""

    def __init__(self, folder: Path, options: SuperannotateOptions) -> None:
        self._folder = folder
        self._timeouts = (CONNECT_SECONDS, options.timeout)
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
            get_source: returns (address, headers); called only when a download is needed.

        Raises:
            DataError: the image cannot be downloaded: an invalid address, not found, too large.
            PlatformError: its host does not answer.
        """
        digest = sha256_of_text(key)
        path = self._folder / digest[:2] / digest
        if path.is_file():
            return path
        url, headers = get_source()
        host = _host(url)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._policy(self._fetch, url, headers, path)
        except Transient as failure:
            raise PlatformError(f"Images at {host} cannot be fetched: {failure}.", do=AGAIN) from None
        return path

    def _fetch(self, url: str, headers: Mapping[str, str], path: Path) -> None:
        try:
            with requests.get(url, headers=dict(headers), stream=True, timeout=self._timeouts) as response:
                _check_status(response)
                # Not among the images, so that leftovers of a killed run are found without listing all of them.
                with atomic_write(path, "wb", beside=self._folder) as stream:
                    size = 0
                    for piece in response.iter_content(PIECE):
                        size += len(piece)
                        if size > LARGEST_IMAGE:
                            raise DataError(f"it is larger than {LARGEST_IMAGE >> 20} MiB")
                        stream.write(piece)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise Transient(type(error).__name__) from None
        except (requests.RequestException, ValueError) as error:
            # urllib3 and http.client raise ValueError for an invalid address or header.
            raise DataError(f"its address cannot be used ({type(error).__name__})") from None


def _host(url: str) -> str:
    """The host of an address; raises DataError unless it is http or https."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.hostname
    except ValueError:
        pass
    raise DataError(f"its address is not http or https: {url[:200]!r}")


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        raise Transient(f"status {status}")
    if status != 200:
        raise DataError(f"it cannot be downloaded: status {status}")
