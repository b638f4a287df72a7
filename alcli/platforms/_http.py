"""What every request has: one clock over all of it, a limit of bytes, no ambient credentials, checked addresses.

``requests`` limits the time between two bytes only, takes passwords from ``~/.netrc`` and follows redirects anywhere.
"""

from __future__ import annotations

import concurrent.futures
import functools
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from alcli.errors import Unreadable

CONNECT_SECONDS = 10.0
POOLS = 4
"""Hosts whose connections are kept, and connections to each."""
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Origin = tuple[str, str, int]
"""Scheme, host and port: what may see the same secrets."""
Result = TypeVar("Result")
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class OutOfTime(Exception):
    """A request with everything that belongs to it took longer than it may."""


class Clock:
    """The time for a request in all: look-up of the name, redirects, repetitions, body."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; never negative."""
        return max(self._end - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise OutOfTime if nothing is left."""
        if not self.left:
            raise OutOfTime(f"it took longer than {self.seconds:g} s in all")

    def call(self, function: Callable[[], Result]) -> Result:
        """Call the function in a thread, and raise OutOfTime when the time is over.

        The thread is then left alone: it waits for the network, which nothing but the network can end.
        """
        self.check()
        future: Future[Result] = Future()
        threading.Thread(target=_settle, args=(future, function), daemon=True).start()
        try:
            return future.result(self.left)
        except (TimeoutError, concurrent.futures.TimeoutError):
            if future.done():
                raise
            self.check()
            raise OutOfTime(f"it took longer than {self.seconds:g} s in all") from None


def _settle(future: Future[Result], function: Callable[[], Result]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)


def origin(url: str) -> Origin:
    """Scheme, host and port of an address; raises ValueError unless it is http or https with a host."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not http or https: {url[:200]!r}")
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]


def proxies(url: str) -> dict[str, str]:
    """The proxies that the environment names for this address (``HTTPS_PROXY``, ``NO_PROXY``)."""
    return dict(requests.utils.get_environ_proxies(url))


def certificates() -> str | bool:
    """The certificates that the environment names, or the usual ones."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def limited(pieces: Iterable[bytes], most: int, too_large: Exception, clock: Clock) -> Iterable[bytes]:
    """The pieces of a body; raises ``too_large`` or OutOfTime."""
    size = 0
    for piece in pieces:
        clock.check()
        size += len(piece)
        if size > most:
            raise too_large
        yield piece


class AddressGuard:
    """Refuses hosts that lead into this machine or a private network, where strangers must not send alcli.

    Args:
        named: (host, port) that the user named.
        allow_all: check nothing.
    """

    def __init__(self, named: Collection[tuple[str, int]], allow_all: bool = False) -> None:
        self._named, self._allow_all = frozenset(named), allow_all

    def check_literal(self, host: str) -> None:
        """Raise Unreadable for a private address in figures; a proxy looks up names itself."""
        try:
            addresses = [host] if ipaddress.ip_address(host) else []
        except ValueError:
            addresses = ["127.0.0.1"] if host == "localhost" or host.endswith(".localhost") else []
        if not self._allow_all and any(map(is_private, addresses)):
            raise self._refusal(host, host)

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """Connect to the first allowed address of a host: to the very address that was checked.

        Raises:
            Unreadable: all its addresses are private.
            OSError: there is no such name, or no answer.
        """
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        free = self._allow_all or (host, port) in self._named
        allowed = [info for info in addresses if free or not is_private(str(info[4][0]))]
        if not allowed:
            raise self._refusal(host, str(addresses[0][4][0]))
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, address in allowed:
            stream = socket.socket(family, kind, protocol)
            try:
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stream.settimeout(seconds)
                stream.connect(address)
            except OSError as error:
                stream.close()
                failure = error
            else:
                return stream
        raise failure

    def _refusal(self, host: str, address: str) -> Unreadable:
        where = host if host == address else f"{host} ({address})"
        return Unreadable(
            f"its address leads into this machine or a private network: {where}; allow it with "
            "platform.allow_private_hosts = true"
        )


def is_private(text: str) -> bool:
    """Whether an address is loopback, link-local, private or otherwise not of the public internet."""
    address: IPAddress = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    return not address.is_global or address.is_multicast


class _Guarded:
    """Opens connections through the guard; part of the two classes below."""

    guard: AddressGuard
    host: str
    port: int
    timeout: Any

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else CONNECT_SECONDS
        connection: Any = self
        try:
            return self.guard.connect(self.host.strip("[]"), self.port, seconds)
        except TimeoutError:
            raise ConnectTimeoutError(connection, "no answer") from None
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(connection, type(error).__name__) from None


class GuardedAdapter(HTTPAdapter):
    """The transport of requests whose addresses strangers wrote; a proxy of the environment is connected as it is."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        super().__init__(pool_connections=POOLS, pool_maxsize=POOLS)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make every connection one that asks the guard."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._guard)


@functools.cache
def _pool_classes(guard: AddressGuard) -> dict[str, type]:
    class Plain(_Guarded, HTTPConnection):
        pass

    class Encrypted(_Guarded, HTTPSConnection):
        pass

    Plain.guard = Encrypted.guard = guard
    plain = type("GuardedPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": Plain})
    encrypted = type("GuardedPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": Encrypted})
    return {"http": plain, "https": encrypted}
