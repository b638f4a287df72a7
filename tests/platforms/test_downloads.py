"""Images from addresses that strangers wrote."""

from __future__ import annotations

import pytest

from alcli.errors import DataError, PlatformError
from alcli.platforms import _downloads
from alcli.platforms._downloads import Downloads
from alcli.platforms._superannotate_options import SuperannotateOptions
from tests.support.superannotate_server import Fault


@pytest.fixture
def downloads(tmp_path):
    """A folder of downloads that does not wait long."""
    return Downloads(tmp_path / "images", SuperannotateOptions(backoff=0.001, timeout=2))


def test_an_image_is_fetched_once_and_without_the_token(server, downloads):
    server.images["1.jpg"] = b"pixels"
    where = (f"{server.url}/photos/1.jpg", {})
    path = downloads.file("key", lambda: where)
    assert path.read_bytes() == b"pixels"
    assert downloads.file("key", lambda: pytest.fail("asked again")) == path
    assert server.requests == ["GET /photos/1.jpg"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "s3://bucket/x", "", "http://"])
def test_only_http_addresses_are_opened(downloads, url):
    with pytest.raises(DataError, match="not http or https"):
        downloads.file("key", lambda: (url, {}))


def test_an_image_that_is_not_there_concerns_this_image_only(server, downloads):
    with pytest.raises(DataError, match="status 404"):
        downloads.file("key", lambda: (f"{server.url}/photos/none.jpg", {}))


def test_a_host_that_stays_down_is_an_error_of_the_platform(server, downloads):
    server.faults = [Fault("503", "/photos/", 99)]
    with pytest.raises(PlatformError, match="status 503"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))


def test_a_host_that_stumbles_is_asked_again(server, downloads):
    server.images["1.jpg"] = b"pixels"
    server.faults = [Fault("500", "/photos/", 2)]
    assert downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {})).read_bytes() == b"pixels"


def test_what_is_too_large_is_not_kept(server, downloads, monkeypatch, tmp_path):
    monkeypatch.setattr(_downloads, "LARGEST_IMAGE", 1000)
    server.images["1.jpg"] = bytes(2000)
    with pytest.raises(DataError, match="larger than"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []
