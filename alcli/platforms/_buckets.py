"""Images where they live: below an address that fsspec knows (``s3://bucket/photos``, ``gs://``, ``az://``, …).

The driver of each kind of store is a package of its own, which takes credentials from its own places only. An image is
downloaded once, when its pixels are needed, and kept as long as the store has the same version of it.
"""

from __future__ import annotations

import importlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alcli.errors import AuthError, DataError, PlatformError, Unreadable, UsageError
from alcli.platforms._downloads import LARGEST_IMAGE, PIECE, Refused, check_start
from alcli.platforms._http import Clock, OutOfTime
from alcli.platforms._image_files import Listing
from alcli.system.files import atomic_write
from alcli.system.folders import KEPT
from alcli.system.hashing import sha256_of_text

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.+", re.IGNORECASE)
LOCAL = frozenset({"file", "local"})
DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
"""The package of each kind of store; fsspec knows more."""
VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "updated", "created")
"""What drivers call that by which one version of an object is told from the next, the surest first."""
SECONDS = 120.0
"""For one image in all."""
DENIED = re.compile(r"forbidden|denied|credentials|unauthorized|authenticat|anonymous caller|40[13]\b", re.IGNORECASE)
SECRET = re.compile(r"//[^/]*:[^/]*@")
"""A password within an address."""


def as_address(text: str) -> str:
    """The text; raises ValueError unless it is an address, not a path."""
    if not ADDRESS.fullmatch(text):
        raise ValueError("no address")
    return text


def check_address(address: str) -> None:
    """Raise UsageError unless fsspec knows such an address, its driver is installed, and it names no secret."""
    _file_system(address)


def _file_system(address: str) -> tuple[Any, str]:
    """The driver, and the address as it names it; raises UsageError as ``check_address`` does."""
    _check_form(address)
    scheme = urlsplit(address).scheme.lower()
    package = DRIVERS.get(scheme, "")
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        needed = package or str(error)
        do = f"pip install 'alcli[remote]' {package}".rstrip()
        raise UsageError(f"--images: {scheme}:// needs {needed}, which is not installed.", do=do) from None
    except ValueError as error:
        raise UsageError(f"--images: {address} cannot be used: {error}.", do="s3://bucket/photos") from None


def _check_form(address: str) -> None:
    # The secret first: the other messages show the address.
    if SECRET.search(address):
        raise UsageError(
            "--images: the address holds a password, which would be written into alcli.toml.",
            do="Leave it out; the driver reads its own places, such as ~/.aws or AWS_ACCESS_KEY_ID.",
        )
    if urlsplit(address).scheme.lower() in LOCAL:
        raise UsageError(f"--images: {address} is a folder of this machine.", do="Name it as a path.")
    if "::" in address:
        raise UsageError(f"--images: {address} chains addresses.", do="Name one store: s3://bucket/photos")


class Bucket:
    """The images below an address.

    Args:
        address: names no secret.
        cache: folder of downloads; files are named by hashes, so that no object's name leads outside.
    """

    def __init__(self, address: str, cache: Path) -> None:
        self.address = address.rstrip("/")
        self._cache = cache
        self._driver: tuple[Any, str] | None = None

    def list_images(self) -> Listing:
        """Every image below the address.

        Raises:
            AuthError: the store refuses to list it.
            PlatformError: the store does not answer, or nothing lies below the address.
        """
        listing = Listing()
        count = 0
        for path, facts in self._objects():
            count += 1
            name = path[len(self._root) :].lstrip("/")
            listing.add(name, f"{self.address}/{name}", _version(facts))
        if not count:
            raise PlatformError(f"Nothing lies below {self.address}.", kept=KEPT, do="See platform.images.")
        listing.drop_overlays()
        return listing

    def file(self, address: str, version: str) -> Path:
        """The local file of an image, downloaded when it is missing.

        Raises:
            Unreadable: it cannot be had now; asked for again next time.
            DataError: it is no image of this bucket, or none that can be read.
        """
        if not address.startswith(f"{self.address}/") or ".." in address.split("/"):
            raise DataError(f"its address {address!r} does not lie below {self.address}")
        target = self.place(address, version)
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            clock = Clock(SECONDS)
            try:
                clock.call(lambda: self._download(address, target, clock))
            except OutOfTime as failure:
                raise Unreadable(f"{self.address} does not send it: {failure}") from None
        return target

    def place(self, address: str, version: str) -> Path:
        """Where the image's file lies, or will lie."""
        digest = sha256_of_text(address, version)
        return self._cache / digest[:2] / digest

    def drop(self, address: str, version: str) -> bool:
        """Drop the download of an image that cannot be decoded; whether there was one."""
        target = self.place(address, version)
        there = target.is_file()
        target.unlink(missing_ok=True)
        return there

    @property
    def _system(self) -> Any:
        return self._open()[0]

    @property
    def _root(self) -> str:
        return self._open()[1]

    def _open(self) -> tuple[Any, str]:
        if self._driver is None:
            system, root = _file_system(self.address)
            self._driver = system, root.rstrip("/")
        return self._driver

    def _objects(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(path, facts) of each object that is no folder, one folder after the other."""
        try:
            for _, _, files in self._system.walk(self._root, detail=True, on_error="raise"):
                for facts in files.values():
                    yield facts["name"], facts
        except FileNotFoundError:
            raise PlatformError(f"There is no {self.address}.", kept=KEPT, do="See platform.images.") from None
        except Exception as error:  # drivers raise what their libraries raise
            raise _listing_error(self.address, error) from None

    def _download(self, address: str, target: Path, clock: Clock) -> None:
        path = posixpath.join(self._root, address[len(self.address) + 1 :])
        try:
            with self._system.open(path, "rb", cache_type="none", block_size=2**22) as source:
                self._copy(source, target, clock)
        except (DataError, OutOfTime):
            raise
        except Refused as refusal:
            # The store keeps what it sent: only another version of the object can be an image.
            raise DataError(str(refusal).replace("its host", "its store")) from None
        except FileNotFoundError:
            raise Unreadable("it is not there any more") from None
        except Exception as error:  # drivers raise what their libraries raise
            raise Unreadable(f"{self.address} does not send it: {_reason(error)}") from None

    def _copy(self, source: Any, target: Path, clock: Clock) -> None:
        # Not among the images, so that leftovers of a killed run are found without listing all of them.
        with atomic_write(target, "wb", beside=self._cache) as stream:
            size = 0
            while piece := source.read(PIECE * 16):
                if not size:
                    check_start(piece, "image/")
                size += len(piece)
                if size > LARGEST_IMAGE:
                    raise DataError(f"it is larger than {LARGEST_IMAGE >> 20} MiB")
                stream.write(piece)
                clock.check()
            if not size:
                raise Unreadable("it is empty")


def _version(facts: Mapping[str, Any]) -> str:
    stamp = next((facts[key] for key in VERSIONS if facts.get(key)), "")
    # The part of an item's version before the first slash; what follows is its annotation's.
    return f"{facts.get('size', '')}-{stamp}".replace('"', "").replace("/", "_")


def _listing_error(address: str, error: Exception) -> Exception:
    reason = _reason(error)
    if isinstance(error, PermissionError) or DENIED.search(reason):
        return AuthError(
            f"{address} may not be listed: {reason}.",
            do="Give the driver's own places (such as ~/.aws or AWS_ACCESS_KEY_ID) a key that may list and read it.",
        )
    return PlatformError(f"{address} cannot be listed: {reason}.", kept=KEPT, do="Run the same command again.")


def _reason(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}".rstrip(": .")
