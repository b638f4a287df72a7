"""The superannotate package, imported late and patched: hosts, certificates, transport, output.

Importing it checks for updates and fails without a network, so two switches are set first. The package sends the token
to five more services at fixed addresses, even for a self-hosted service; the patches put them below the configured
address instead.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from alcli.errors import UsageError
from alcli.platforms import _superannotate_wire as wires
from alcli.platforms._credentials import Credentials
from alcli.platforms._superannotate_options import PUBLIC_URL
from alcli.system.redaction import Redaction

SWITCHES = {"SA_VERSION_CHECK": "False", "SA_SKIP_METRICS": "True"}


def log_in(credentials: Credentials, logs: Path) -> Any:
    """An ``SAClient`` whose requests all go through the account's wire, and which logs only to ``logs/sa.log``.

    Raises:
        AuthError, PlatformError: the service refuses the token, or does not answer.
    """
    sdk = load()
    _close_log()
    settings = {
        "SA_TOKEN": credentials.token,
        "SA_URL": credentials.url,
        "LOGGING_LEVEL": "WARNING",
        "LOGGING_PATH": str(logs),
    }
    if os.environ.get("SA_TEAM_ID"):
        # The key of an organization does not name a team.
        settings["SA_TEAM_ID"] = os.environ["SA_TEAM_ID"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        client = sdk.SAClient(config=settings)
    _log_only_to_file()
    return client


@functools.cache
def load() -> ModuleType:
    """The patched package; raises UsageError for an incompatible version."""
    os.environ.update(SWITCHES)
    with warnings.catch_warnings(), _import_path_first("superannotate"):
        warnings.simplefilter("ignore")
        sdk = importlib.import_module("superannotate")
    try:
        _patch_hosts()
        _patch_transport()
        _patch_typed_dicts()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"superannotate {getattr(sdk, '__version__', '?')} is not compatible with alcli: {error}.",
            do="pip install 'superannotate>=4.6,<4.7'",
        ) from None
    return sdk


@contextlib.contextmanager
def _import_path_first(package: str) -> Iterator[None]:
    """Put the package first on the path: it imports itself as ``lib``, which the working folder may contain, too."""
    spec = importlib.util.find_spec(package)
    folder = str(Path(str(spec.origin)).parent) if spec else ""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _patch_hosts() -> None:
    auth = importlib.import_module("lib.infrastructure.services.auth")
    provider = importlib.import_module("lib.infrastructure.serviceprovider").ServiceProvider
    annotation = importlib.import_module("lib.infrastructure.services.annotation").AnnotationService
    explore = importlib.import_module("lib.infrastructure.services.explore").ExploreService
    telemetry = importlib.import_module("lib.infrastructure.services.telemetry_scoring").TelemetryScoringService
    version = annotation.ASSETS_PROVIDER_VERSION
    _replace(auth, "_get_work_management_url", lambda url: address(url, "wm", "v1"))
    _replace(provider, "_get_work_management_url", staticmethod(lambda http: address(http.api_url, "wm", "v1")))
    _replace(provider, "_get_item_service_url", staticmethod(lambda http: address(http.api_url, "item", "v1")))
    _replace(
        annotation,
        "get_assets_provider_url",
        lambda self, asked=None: address(self.client.api_url, "assets", asked or version),
    )
    _replace(explore, "_explore_service_url", lambda self, asked: address(self.client.api_url, "explore", asked))
    _replace(telemetry, "telemetry_service_url", property(lambda self: address(self.client.api_url, "telemetry", "v1")))


PUBLIC_SERVICES = {
    "wm": "work-management-api",
    "item": "item",
    "assets": "assets-provider",
    "explore": "explore-service",
    "telemetry": "telemetry-scoring",
}


def address(url: str, service: str, version: str) -> str:
    """The address of a service: its own public host, or a path below the address of a self-hosted service."""
    if url == PUBLIC_URL:
        return f"https://{PUBLIC_SERVICES[service]}.superannotate.com/api/{version}/"
    return f"{url}/{service}/api/{version}/"


def _patch_transport() -> None:
    http = importlib.import_module("lib.infrastructure.services.http_client")
    auth = importlib.import_module("lib.infrastructure.services.auth")
    reporter = importlib.import_module("lib.core.reporter")
    _replace(http.HttpClient, "_get_session", _session)
    _replace(http.HttpClient, "_get_url", _url)
    _replace(auth, "_fetch_token_context", _token_context)
    send = http.AIOHttpSession.__mro__[1]._request

    async def request(self: Any, method: str, url: str, **options: Any) -> Any:
        return await wires.send_request(send, self, method, url, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        http.AIOHttpSession.request = request
        http.AIOHttpSession._request = request
    bar = reporter.tqdm.tqdm
    silent = SimpleNamespace(tqdm=lambda *given, **options: bar(*given, **{**options, "disable": True}))
    _replace(reporter, "tqdm", silent)


def _patch_typed_dicts() -> None:
    """Replace three ``TypedDict`` classes that make public methods reject every call on some Python versions."""
    import pydantic
    import typing_extensions

    module = importlib.import_module("superannotate.lib.app.interface.sdk_interface")
    for name in ("PriorityScore", "Attachment", "Setting"):
        kind = getattr(module, name)
        try:
            pydantic.TypeAdapter(kind)
        except pydantic.errors.PydanticUserError:
            fields = typing_extensions.get_type_hints(kind, vars(module), include_extras=True)
            make: Any = typing_extensions.TypedDict
            setattr(module, name, make(name, fields, total=kind.__total__))


def _session(self: Any, thread_id: int, ttl: int | None = None) -> Any:
    """One session per thread, kept open: the SDK would replace its own every six minutes."""
    sessions = self.__dict__.setdefault("_alcli_sessions", {})
    if thread_id not in sessions:
        sessions[thread_id] = wires.new_session()
        sessions[thread_id].headers.update(self.default_headers)
    return sessions[thread_id]


def _url(self: Any, url: str) -> str:
    """Put every path below the configured address; ``urljoin`` would move some of them to the root of the host."""
    return url if url.startswith("http") else f"{self.api_url.rstrip('/')}/{url.lstrip('/')}"


def _token_context(api_url: str, token: str, verify_ssl: bool) -> Any:
    headers = {"Authorization": token, "authtype": "api_key"}
    with wires.new_session() as session:
        response = session.post(f"{address(api_url, 'wm', 'v1')}users/me", json={}, headers=headers)
    response.raise_for_status()
    return response.json()


def _replace(owner: Any, name: str, value: object) -> None:
    getattr(owner, name)  # raises if the SDK no longer has this name
    setattr(owner, name, value)


def _close_log() -> None:
    # The SDK drops the handlers of an earlier client without closing their files.
    log = logging.getLogger("sa")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def _log_only_to_file() -> None:
    log = logging.getLogger("sa")
    for handler in list(log.handlers):
        if isinstance(handler, logging.FileHandler):
            # The SDK rotates this file at 5 MB and keeps five old ones. Errors such as a full disk are not printed.
            handler.addFilter(Redaction())
            handler.handleError = _ignore_error  # type: ignore[method-assign]
        else:
            log.removeHandler(handler)


def _ignore_error(record: logging.LogRecord) -> None:
    """Do nothing when the log cannot be written."""
