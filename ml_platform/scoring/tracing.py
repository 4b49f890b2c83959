"""Traces of the requests by OpenTelemetry, where the environment asks for them in its standard variables."""

import asyncio
import os
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_platform.scoring.app import ScoringApp

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_SECONDS = 2.0
"""For the last spans: a collector that does not answer must not keep a host from ending."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def exporters() -> list[EntryPoint]:
    """Those that the environment names, not loaded; raises SystemExit when one of them is not installed."""
    names = _wanted()
    if not names:
        return []
    found = {each.name: each for each in entry_points(group="opentelemetry_traces_exporter")}
    missing = [name for name in names if name not in found]
    if missing or not _has_middleware():
        asked = ", ".join(missing or names)
        raise SystemExit(
            f"the environment (OTEL_*) asks for traces by {asked}, for which a package is missing: install "
            "ml-platform[tracing], which brings OTLP over HTTP, or set OTEL_TRACES_EXPORTER=none"
        )
    return [found[name] for name in names]


def traced(app: ScoringApp, service: str) -> ASGIApp:
    """`app` with a span for each request, where the environment asks for it; `service` names it where that does not."""
    found = exporters()
    if not found:
        return app
    # Not imported by who asks for no traces.
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware, get_default_span_details
    from opentelemetry.util.http import (
        OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS,
        get_custom_headers,
        get_excluded_urls,
    )

    def details(scope: dict[str, Any]) -> tuple[str, dict[str, str]]:
        if (path := scope["path"]) in app.paths:
            return get_default_span_details(scope)[0], {"http.route": path}
        # Whatever paths callers think of, the names of the spans stay few.
        return get_default_span_details({**scope, "path": ""})

    provider = _provider(found, service)
    middleware = OpenTelemetryMiddleware(
        app,
        excluded_urls=get_excluded_urls("ASGI"),
        default_span_details=details,
        tracer_provider=provider,
        # The environment may ask for all headers: no key may leave with them.
        http_capture_headers_sanitize_fields=[
            "authorization",
            *get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS),
        ],
        exclude_spans=["receive", "send"],
    )
    return _Flushed(middleware, provider)


class _Flushed:
    """An application that sends its last spans before it says that it has shut down: nothing runs after that."""

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        self._app, self._provider = app, provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""

        async def after_flush(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(self._flush)
            await send(message)

        await self._app(scope, receive, after_flush if scope["type"] == "lifespan" else send)

    def _flush(self) -> None:
        # The provider itself waits for half a minute.
        flushing = Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)


def _wanted() -> list[str]:
    """The names of exporters, as OpenTelemetry registers them; only its standard variables are read."""
    asked = os.environ.get
    if asked("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    listed = asked("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(asked, _ENDPOINTS)) else "none")
    protocol = asked("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or asked("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    otlp = _PROTOCOLS.get(protocol, f"otlp ({protocol})")
    names = [name for each in listed.split(",") if (name := each.strip()) not in ("", "none")]
    return [otlp if name == "otlp" else name for name in names]


def _has_middleware() -> bool:
    try:
        return find_spec("opentelemetry.instrumentation.asgi") is not None
    except ModuleNotFoundError:
        return False


def _provider(found: list[EntryPoint], service: str) -> "TracerProvider":
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What is given here goes before the environment's, hence its own are given with it.
    resource = Resource.create({SERVICE_NAME: service, **OTELResourceDetector().detect().attributes})
    provider = TracerProvider(resource=resource)
    for each in found:
        provider.add_span_processor(BatchSpanProcessor(each.load()()))
    return provider
