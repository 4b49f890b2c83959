"""Traces of a real host's requests, taken by a collector on the loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ml_platform.errors import EndpointError
from ml_platform.scoring.state import KEYS_FILE, Keys, write_state
from ml_platform.scoring.tracing import exporters
from ml_platform_tests.contract.span_receiver import attributes, collector
from ml_platform_tests.contract.test_endpoints import NAME, World
from ml_platform_tests.serving_directories import RECORD

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One with no OpenTelemetry in its environment but what a test puts there."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    # The exporter would send through a proxy of the environment.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    world = World(tmp_path)
    yield world
    world.endpoints.delete(NAME)


def test_a_traced_request_arrives_as_a_span_with_route_and_status_and_without_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as collects:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collects.url)
        monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
        # Nothing is sent before the drain.
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        world.endpoints.deploy(world.declaration("1"))
        uri, key = world.endpoints.scoring_uri(NAME), world.endpoints.keys(NAME).primary
        with httpx.Client(headers=TRACEPARENT, trust_env=False) as client:
            client.post(uri, json=RECORD, headers={"authorization": f"Bearer {key}"}).raise_for_status()
            assert client.post(uri, json=RECORD, headers={"authorization": "Bearer wrong-key"}).status_code == 401
            assert client.get(httpx.URL(uri).join("/one/of/many")).status_code == 404
        assert collects.bodies == []
        world.endpoints.delete(NAME)
    spans = collects.spans(TRACE)
    assert [(span.name, span.kind, span.parent_span_id.hex()) for span in spans] == [
        ("POST /score", Span.SPAN_KIND_SERVER, CALLER),
        ("POST /score", Span.SPAN_KIND_SERVER, CALLER),
        ("GET", Span.SPAN_KIND_SERVER, CALLER),
    ]
    told = [attributes(span.attributes) for span in spans]
    assert [(each.get("http.route"), each["http.status_code"]) for each in told] == [
        ("/score", 200),
        ("/score", 401),
        (None, 404),
    ]
    assert collects.services == {NAME}
    sent = b"".join(collects.bodies)
    # What the environment asks for is there, but for the keys.
    assert b"http.request.header.authorization" in sent
    assert b"[REDACTED]" in sent
    assert key.encode() not in sent
    assert b"wrong-key" not in sent


def test_the_environment_names_the_service_and_what_is_not_traced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as collects:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collects.url}/v1/traces")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "flights")
        monkeypatch.setenv("OTEL_PYTHON_ASGI_EXCLUDED_URLS", "/health")
        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        world.endpoints.deploy(world.declaration("1"))
        address = httpx.URL(world.endpoints.scoring_uri(NAME))
        for path in ("/health/live", "/metrics"):
            httpx.get(address.join(path), headers=TRACEPARENT, trust_env=False).raise_for_status()
        world.endpoints.delete(NAME)
    [span] = collects.spans(TRACE)
    assert (span.name, span.status.code) == ("GET /metrics", Status.STATUS_CODE_UNSET)
    assert attributes(span.attributes)["http.response.status_code"] == 200
    assert collects.services == {"flights"}


def test_a_collector_that_never_answers_delays_neither_answers_nor_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        world.endpoints.deploy(world.declaration("1"))
        with world.client() as client:
            client.score_one(RECORD)
        began = time.monotonic()
        world.endpoints.delete(NAME)
        # An export is given up after ten seconds, the provider's own end after thirty.
        assert time.monotonic() - began < 8
    assert len(world.logged("model_outputs")) == 1


def test_an_exporter_that_is_not_installed_ends_a_deploy_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "carrier_pigeon")
    with pytest.raises(EndpointError, match=r"has ended.*\s.*by carrier_pigeon, .* install ml-platform\[tracing\]"):
        world.endpoints.deploy(world.declaration("1"))


def test_the_extra_is_named_when_only_what_mlflow_brings_is_installed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert [each.name for each in exporters()] == ["console"]
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    with pytest.raises(SystemExit, match=r"by console, .* install ml-platform\[tracing\]"):
        exporters()


ADDRESS = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
LOADED = """
import sys
from pathlib import Path
from ml_platform.scoring import __main__
from ml_platform.scoring.app import create_app
from ml_platform.scoring.host import Host
from ml_platform.scoring.tracing import traced
app = create_app(Host(Path(sys.argv[1])))
print(traced(app, "") is app, any(name.split(".")[0] == "opentelemetry" for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "True False"),
        ({"OTEL_SERVICE_NAME": "flights", "OTEL_TRACES_EXPORTER": ""}, "True False"),
        (ADDRESS | {"OTEL_TRACES_EXPORTER": "none"}, "True False"),
        (ADDRESS | {"OTEL_SDK_DISABLED": "true"}, "True False"),
        (ADDRESS, "False True"),
    ],
)
def test_opentelemetry_is_imported_only_when_it_is_asked_for(world: World, asked: dict[str, str], told: str) -> None:
    write_state(world.folder / KEYS_FILE, Keys("first-key", "second-key"))
    command = [sys.executable, "-c", LOADED, str(world.folder)]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == told
