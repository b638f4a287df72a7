"""Images from addresses that strangers wrote."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from alcli.errors import DataError, PlatformError, Unreadable
from alcli.platforms import _downloads
from alcli.platforms._downloads import MOST_UNANSWERED, Downloads
from alcli.platforms._http import is_private
from alcli.platforms._superannotate_options import SuperannotateOptions
from alcli.system.hashing import sha256_of_text
from tests.support.superannotate_server import Fault, Server

PIXELS = b"\xff\xd8\xff and so on"


@pytest.fixture
def downloads(tmp_path, server):
    """A folder of downloads that does not wait long; the server's address is the one that the user named."""
    return Downloads(tmp_path / "images", SuperannotateOptions(backoff=0.001, timeout=2), server.url)


def test_an_image_is_fetched_once_and_without_the_token(server, downloads):
    server.images["1.jpg"] = PIXELS
    where = (f"{server.url}/photos/1.jpg", {})
    path = downloads.file("key", lambda: where)
    assert path.read_bytes() == PIXELS
    assert downloads.file("key", lambda: pytest.fail("asked again")) == path
    assert server.requests == ["GET /photos/1.jpg"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "s3://bucket/x", "", "http://"])
def test_only_http_addresses_are_opened(downloads, url):
    with pytest.raises(DataError, match="not http or https"):
        downloads.file("key", lambda: (url, {}))


def test_an_image_that_is_not_there_concerns_this_image_only(server, downloads):
    with pytest.raises(DataError, match="status 404"):
        downloads.file("key", lambda: (f"{server.url}/photos/none.jpg", {}))


def fail_often(downloads: Downloads, server: Server) -> None:
    """Ask for as many images as may fail."""
    for number in range(MOST_UNANSWERED):
        with pytest.raises(Unreadable, match="does not send it"):
            downloads.file(f"silent {number}", lambda number=number: (f"{server.url}/photos/silent{number}.jpg", {}))


def test_a_host_that_stays_down_is_an_error_of_the_platform(server, downloads):
    server.faults = [Fault("503", "/photos/", 99)]
    fail_often(downloads, server)
    with pytest.raises(PlatformError, match="status 503") as error:
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert "alcli skip" in error.value.do
    # An image that has failed is not asked for again in the same run.
    count = len(server.requests)
    with pytest.raises(Unreadable, match="status 503"):
        downloads.file("silent 0", lambda: pytest.fail("asked again"))
    assert len(server.requests) == count


def test_hosts_that_drip_lose_one_deadline_and_little_more(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_downloads, "SECONDS_TO_SPARE", 1.0)
    downloads = Downloads(tmp_path / "images", SuperannotateOptions(backoff=0.001, timeout=5, deadline=4), server.url)
    server.faults = [Fault("drip", "/photos/", 99)]
    started = time.monotonic()
    fail_often(downloads, server)
    with pytest.raises(PlatformError, match="longer than 1 s in all"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    # 4 s, what is left of 5 s, and 1 s for each of the others.
    assert time.monotonic() - started < 4 + 3 + 4


def test_a_host_that_stumbles_is_asked_again(server, downloads):
    server.images["1.jpg"] = PIXELS
    server.faults = [Fault("500", "/photos/", 2)]
    assert downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {})).read_bytes() == PIXELS


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("html", "a page or a text"), ("empty", "sent nothing"), ("garbage", "not an image"), ("404", "status 404"),
     ("403", "status 403")],
)  # fmt: skip
def test_what_is_no_image_is_not_kept_and_asked_for_again(server, downloads, kind, reason, tmp_path):
    server.images["1.jpg"] = PIXELS
    server.faults = [Fault(kind, "/photos/")]
    where = (f"{server.url}/photos/1.jpg", {})
    with pytest.raises(Unreadable, match=reason):
        downloads.file("key", lambda: where)
    assert [path.suffix for path in files(tmp_path)] in ([], [".refused"])
    assert downloads.file("key", lambda: where).read_bytes() == PIXELS
    assert [path.suffix for path in files(tmp_path)] == [""]


@pytest.mark.parametrize("status", ["400", "401", "403"])
def test_an_address_whose_time_is_over_is_asked_for_anew(server, downloads, status):
    server.images["1.jpg"] = PIXELS
    server.faults = [Fault(status, "/photos/old.jpg", 99)]
    addresses = iter([f"{server.url}/photos/old.jpg", f"{server.url}/photos/1.jpg"])
    assert downloads.file("key", lambda: (next(addresses), {})).read_bytes() == PIXELS
    asked = [f"{server.url}/photos/old.jpg"] * 2
    with pytest.raises(Unreadable, match=f"status {status}"):
        downloads.file("other", lambda: (asked.pop(), {}))
    assert not asked and len(server.requests) == 3  # the same address again is not tried again


@pytest.mark.parametrize("kind", ["404", "garbage"])
def test_a_refusal_is_believed_half_a_day_later(server, downloads, kind, tmp_path):
    server.faults = [Fault(kind, "/photos/", 99)]

    def ask() -> type[Exception]:
        with pytest.raises(DataError) as error:
            downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
        return error.type

    assert [ask(), ask()] == [Unreadable, Unreadable]
    (note,) = files(tmp_path)
    os.utime(note, (time.time() - 13 * 3600,) * 2)
    assert ask() is DataError
    # Written while the clock was a year ahead: not for a year, but from the next run on.
    os.utime(note, (time.time() + 365 * 86400,) * 2)
    assert ask() is Unreadable
    assert note.stat().st_mtime < time.time() + 60


def test_a_page_is_never_believed(server, downloads, tmp_path):
    server.faults = [Fault("html", "/photos/", 99)]
    with pytest.raises(Unreadable, match="a page"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert files(tmp_path) == []


def test_half_an_image_is_fetched_again(server, downloads):
    server.images["1.jpg"] = PIXELS * 100
    server.faults = [Fault("half", "/photos/", 2)]
    assert downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {})).read_bytes() == PIXELS * 100
    assert server.requests == ["GET /photos/1.jpg"] * 3


def test_a_host_that_always_sends_half_keeps_nothing(server, downloads, tmp_path):
    server.images["1.jpg"] = PIXELS * 100
    server.faults = [Fault("half", "/photos/", 99)]
    with pytest.raises(Unreadable, match="does not send it"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert files(tmp_path) == []


def test_what_cannot_be_decoded_is_dropped_and_refused_when_it_comes_again(server, downloads, tmp_path):
    server.images["1.jpg"] = PIXELS
    where = (f"{server.url}/photos/1.jpg", {})
    downloads.file("key", lambda: where)
    assert downloads.drop("key")
    assert not downloads.drop("key")
    with pytest.raises(Unreadable, match="the same bytes again"):
        downloads.file("key", lambda: where)
    (note,) = files(tmp_path)
    os.utime(note, (time.time() - 13 * 3600,) * 2)
    with pytest.raises(DataError, match="the same bytes again") as error:
        downloads.file("key", lambda: where)
    assert error.type is DataError
    server.images["1.jpg"] = PIXELS + b"mended"
    assert downloads.file("key", lambda: where).read_bytes() == PIXELS + b"mended"
    assert [path.suffix for path in files(tmp_path)] == [""]


@pytest.mark.parametrize("content", [b"", PIXELS * 10**6])
def test_a_host_that_drips_is_left_at_the_deadline(server, tmp_path, content):
    downloads = Downloads(tmp_path / "images", SuperannotateOptions(backoff=0.001, timeout=5, deadline=1), server.url)
    server.images["1.jpg"] = content
    server.faults = [Fault("drip", "/photos/", 99)]
    started = time.monotonic()
    with pytest.raises(Unreadable, match="longer than 1 s in all"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert time.monotonic() - started < 20
    assert server.requests == ["GET /photos/1.jpg"]
    assert not [path for path in files(tmp_path) if path.parent.name == sha256_of_text("key")[:2]]


def test_redirects_are_followed_and_counted(server, downloads):
    server.images["1.jpg"] = PIXELS
    where = {"Location": f"{server.url}/photos/1.jpg"}
    server.faults = [Fault("redirect", "/photos/", 2, where)]
    assert downloads.file("key", lambda: (f"{server.url}/photos/0.jpg", {})).read_bytes() == PIXELS
    server.faults = [Fault("redirect", "/photos/", 99, where)]
    with pytest.raises(Unreadable, match="more than 5 times"):
        downloads.file("other", lambda: (f"{server.url}/photos/0.jpg", {}))


def test_headers_of_the_service_stay_at_its_host(server, tmp_path):
    options = SuperannotateOptions(backoff=0.001, timeout=2, allow_private_hosts=True)
    downloads = Downloads(tmp_path / "images", options, server.url)
    with Server() as other:
        other.images["1.jpg"] = PIXELS
        server.faults = [Fault("redirect", "/photos/", 1, {"Location": f"{other.url}/photos/1.jpg"})]
        secret = {"Authorization": "Canary", "X-Amz-Signature": "Canary", "Cookie": "Canary"}
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", secret))
        assert server.headers[0].items() >= {key.lower(): value for key, value in secret.items()}.items()
        assert "Canary" not in str(other.headers)
        assert len(other.headers) == 1


def test_passwords_of_netrc_go_nowhere(server, downloads, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password Canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.images["1.jpg"] = PIXELS
    downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert "authorization" not in server.headers[0]


def test_addresses_of_this_machine_are_refused_unless_they_are_named(server, tmp_path):
    server.images["1.jpg"] = PIXELS
    source = (f"{server.url}/photos/1.jpg", {})
    closed = Downloads(tmp_path / "closed", SuperannotateOptions(), "https://api.superannotate.com")
    with pytest.raises(Unreadable, match=r"private network: 127.0.0.1; allow it with platform.allow_private_hosts"):
        closed.file("key", lambda: source)
    named = source[0].replace("127.0.0.1", "localhost")
    with pytest.raises(Unreadable, match=r"private network: localhost \("):
        closed.file("key", lambda: (named, {}))
    assert server.requests == []
    allowed = Downloads(
        tmp_path / "open", SuperannotateOptions(allow_private_hosts=True), "https://api.superannotate.com"
    )
    assert allowed.file("key", lambda: source).read_bytes() == PIXELS


def test_another_port_of_the_named_host_is_refused(server, downloads):
    with Server() as other:
        with pytest.raises(Unreadable, match="private network"):
            downloads.file("key", lambda: (f"{other.url}/photos/1.jpg", {}))
        server.faults = [Fault("redirect", "/photos/", 1, {"Location": f"{other.url}/photos/1.jpg"})]
        with pytest.raises(Unreadable, match="private network"):
            downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
        assert other.requests == []


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "http://10.0.0.1/x"]
)
def test_a_redirect_to_the_metadata_of_a_cloud_is_refused(server, downloads, location):
    server.faults = [Fault("redirect", "/photos/", 1, {"Location": location})]
    with pytest.raises(Unreadable, match="private network"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://x/", "http://[::1"])
def test_a_redirect_to_nowhere_costs_no_image_in_one_night(server, downloads, location):
    server.images["1.jpg"] = PIXELS
    server.faults = [Fault("redirect", "/photos/", 1, {"Location": location})]
    with pytest.raises(Unreadable, match="its address"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {})).read_bytes() == PIXELS


def test_a_proxy_is_not_asked_for_a_private_address(server, downloads, monkeypatch):
    with Server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        proxy.images["1.jpg"] = PIXELS
        with pytest.raises(Unreadable, match="private network"):
            downloads.file("key", lambda: ("http://169.254.169.254/photos/1.jpg", {}))
        assert proxy.requests == []
        assert downloads.file("key", lambda: ("http://images.example/photos/1.jpg", {})).read_bytes() == PIXELS


PRIVATE = ("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
           "224.0.0.1", "::1", "::", "fe80::1%eth0", "fd00:ec2::254", "::ffff:127.0.0.1", "2002:7f00:1::",
           "64:ff9b::a9fe:a9fe")  # fmt: skip


def test_what_counts_as_private():
    assert [address for address in PRIVATE if not is_private(address)] == []
    assert [address for address in ("8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808") if is_private(address)] == []


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "images").rglob("*") if path.is_file()]


def test_what_is_too_large_is_not_kept(server, downloads, monkeypatch, tmp_path):
    monkeypatch.setattr(_downloads, "LARGEST_IMAGE", 1000)
    server.images["1.jpg"] = PIXELS + bytes(2000)
    # A host that went wild for one night has not made the image larger.
    with pytest.raises(Unreadable, match="larger than"):
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    (note,) = files(tmp_path)
    os.utime(note, (time.time() - 13 * 3600,) * 2)
    with pytest.raises(DataError, match="larger than") as error:
        downloads.file("key", lambda: (f"{server.url}/photos/1.jpg", {}))
    assert error.type is DataError
    note.unlink()
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []
