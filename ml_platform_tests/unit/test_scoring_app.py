"""The scoring contract, on the application in this process."""

import asyncio
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_platform.scoring.app import create_app
from ml_platform.scoring.bodies import MAX_BODY_BYTES, MAX_SLOW_BODIES, WHOLE
from ml_platform.scoring.encoding import SIGNATURE_FILE
from ml_platform.scoring.headers import CLOCK_HEADER, DEPLOYMENT_HEADER, PROBE_HEADER
from ml_platform.scoring.host import Host
from ml_platform.scoring.measures import BINS, Counts
from ml_platform.scoring.mirror import MAX_WAITING
from ml_platform.scoring.records import MAX_RECORDS
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    Declared,
    Deployment,
    EndpointDeclaration,
    Keys,
    write_state,
)
from ml_platform_tests.serving_directories import RECORD, probability, write_serving_directory
from ml_platform_tests.unit.test_scoring_measures import sample

JSON = {"content-type": "application/json"}


def declare(directory: Path, serving: Path, *, version: str = "1", replay_clock: bool = True, **more: Any) -> None:
    """Declare blue; with `green`, a serving directory, version 2 beside it, which mirrors all requests."""
    green = more.pop("green", None)
    deployments = [Deployment("blue", "flights", version, str(serving))]
    if green is not None:
        deployments.append(Deployment("green", "flights", "2", str(green)))
        more["mirror"] = {"green": 100}
    keys = (("flight_id",), "sched_dep_at")
    endpoint = EndpointDeclaration(
        "delays", tuple(deployments), {"blue": 100}, *keys, replay_clock=replay_clock, **more
    )
    write_state(directory / DECLARED_FILE, Declared(time.monotonic_ns(), endpoint, (directory / "log").as_uri()))


def host_of(directory: Path) -> Host:
    write_state(directory / KEYS_FILE, Keys("first-key", "second-key"))
    return Host(directory)


def client_of(directory: Path, host: Host | None = None) -> TestClient:
    headers = {"authorization": "Bearer first-key"}
    return TestClient(create_app(host or host_of(directory)), headers=headers, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("endpoint")
    declare(directory, write_serving_directory(directory / "serving"))
    return directory


@pytest.fixture(scope="module")
def client(endpoint: Path) -> Iterator[TestClient]:
    with client_of(endpoint) as client:
        yield client


def logged(directory: Path, collection: str) -> list[dict[str, Any]]:
    files = sorted((directory / "log").glob(f"delays/blue/{collection}/*/*/*/*/*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_one_record_and_every_form_of_batch_get_the_same_probability(client: TestClient) -> None:
    frame = {"columns": list(RECORD), "index": [7], "data": [list(RECORD.values())]}
    columns = {name: [value] for name, value in RECORD.items()}
    batches = [{"records": [RECORD]}, {"dataframe_records": [RECORD]}, {"dataframe_split": frame}]
    for body in (RECORD, *batches, {"inputs": [RECORD]}, {"inputs": columns}):
        answer = client.post("/score", json=body, headers={"x-request-id": "abc"}).json()
        assert answer == {
            "predictions": [{"id": "abc_0", "probability": pytest.approx(probability(1.5, 1), abs=1e-6)}],
            "model": {"name": "flights", "version": "1"},
        }


def test_a_batch_is_answered_in_its_order_with_one_id_a_record(client: TestClient) -> None:
    records = [RECORD | {"distance": float(i)} for i in range(5)]
    answer = client.post("/score", json={"records": records}, headers={"x-request-id": "abc"}).json()
    assert [p["id"] for p in answer["predictions"]] == [f"abc_{i}" for i in range(5)]
    expected = [probability(i, 1) for i in range(5)]
    assert [p["probability"] for p in answer["predictions"]] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD | {"carrier": "never seen"}, probability(1.5, 0)),
        (RECORD | {"carrier": None}, probability(1.5, 0)),
        (RECORD | {"distance": None}, probability(0, 1)),
        (RECORD | {"distance": 2, "surplus": {"ignored": True}}, probability(2, 1)),
    ],
)
def test_unknown_and_null_values_are_missing_and_surplus_fields_ignored(
    client: TestClient, record: dict[str, Any], expected: float
) -> None:
    answer = client.post("/score", json=record)
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"distance": "far"}, "distance"),
        ({"distance": True}, "distance"),
        ({"distance": 1e39}, "distance"),
        ({"carrier": 3}, "carrier"),
        ({"carrier": ["UA"]}, "carrier"),
        ({"flight_id": None}, "flight_id"),
        ({"flight_id": ""}, "flight_id"),
        ({"sched_dep_at": "2013-04-01T09:15:00"}, "sched_dep_at"),
        ({"sched_dep_at": "2013-02-30T09:15:00Z"}, "sched_dep_at"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    client: TestClient, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/score", json={"records": [RECORD, RECORD | change]})
    assert answer.status_code == 422
    assert f"$[1].{field}" in answer.json()["message"]


@pytest.mark.parametrize("field", list(RECORD))
def test_a_missing_field_is_refused_by_its_name(client: TestClient, field: str) -> None:
    answer = client.post("/score", json={name: value for name, value in RECORD.items() if name != field})
    assert answer.status_code == 422
    assert f"`{field}`" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"carrier": "\xff"}', 400),
        (b'{"records": ' + b"[" * 100_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"records": []}', 422),
        (b'{"records": null}', 422),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', 422),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', 422),
        (b'{"inputs": {"a": [1], "b": [1, 2]}}', 422),
        (b'{"inputs": {}}', 422),
        (b'{"inputs": 7}', 422),
        (json.dumps({"records": [RECORD] * (MAX_RECORDS + 1)}).encode(), 422),
        (b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_a_body_that_cannot_be_scored_is_refused_with_a_message(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/score", content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic first-key", "Bearer first-keyx", "Bearer \xe9"]
)
def test_a_wrong_key_opens_nothing(client: TestClient, header: str) -> None:
    answer = client.post("/score", json=RECORD, headers={"authorization": header.encode("latin-1")})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_either_key_opens(client: TestClient) -> None:
    for key in ("first-key", "second-key"):
        assert client.post("/score", json=RECORD, headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/score", 405), ("POST", "/nothing", 404)])
def test_wrong_routes_and_methods_are_refused_as_json(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, list(answer.json())) == (status, ["message"])


def test_another_content_type_is_refused(client: TestClient) -> None:
    assert client.post("/score", content=b"{}", headers={"content-type": "text/csv"}).status_code == 415
    assert client.post("/score", json=RECORD, headers={"content-type": "application/json; charset=utf-8"}).is_success


def test_request_ids_are_echoed_made_up_and_bounded(client: TestClient) -> None:
    ids = {"x-request-id": "a" * 100, "x-ms-client-request-id": "b"}
    for answer in (client.post("/score", json=RECORD, headers=ids), client.get("/nothing", headers=ids)):
        assert {name: answer.headers[name] for name in ids} == ids
    made_up = client.post("/score", json=RECORD)
    assert made_up.json()["predictions"][0]["id"] == made_up.headers["x-request-id"] + "_0"
    for name in ids:
        assert client.post("/score", json=RECORD, headers={name: "a" * 101}).status_code == 431


def test_health_and_documents_need_no_key(client: TestClient) -> None:
    assert client.get("/", headers={"authorization": ""}).text == "Healthy"
    assert client.get("/health/live").is_success
    assert client.get("/health/ready").json()["model"] == {"name": "flights", "version": "1"}
    document = client.get("/openapi.json").json()
    assert document == client.get("/swagger.json").json()
    assert set(document["components"]["schemas"]["Record"]["required"]) == set(RECORD)
    assert "UA" in document["components"]["schemas"]["Record"]["properties"]["carrier"]["description"]


@pytest.mark.parametrize("given", ["", "yesterday", "2013-04-01T09:00:00", "0001-01-01T00:00:00+10:00"])
def test_a_replay_time_without_meaning_is_refused(client: TestClient, given: str) -> None:
    assert client.post("/score", json=RECORD, headers={CLOCK_HEADER: given}).status_code == 400


def test_the_log_holds_inputs_and_outputs_in_the_folder_of_the_replays_hour(tmp_path: Path) -> None:
    declare(tmp_path, write_serving_directory(tmp_path / "serving"))
    with client_of(tmp_path) as client:
        headers = {"x-request-id": "abc", CLOCK_HEADER: "2013-04-01T01:30:00+02:00"}
        answer = client.post("/score", json={"records": [RECORD, RECORD | {"carrier": None}]}, headers=headers).json()
        client.post("/score", json=RECORD, headers={PROBE_HEADER: "1"})
    for collection in ("model_inputs", "model_outputs"):
        (path,) = (tmp_path / "log").glob(f"delays/blue/{collection}/**/*.jsonl")
        assert path.parent == tmp_path / "log/delays/blue" / collection / "2013/03/31/23"
    (inputs,), (outputs,) = logged(tmp_path, "model_inputs"), logged(tmp_path, "model_outputs")
    assert inputs["data"] == [RECORD, RECORD | {"carrier": None}]
    keys = {name: RECORD[name] for name in ("flight_id", "sched_dep_at")}
    assert outputs["data"] == [{"probability": p["probability"], **keys} for p in answer["predictions"]]
    for line in (inputs, outputs):
        assert (line["correlationid"], line["time"], line["modelversion"]) == ("abc", "2013-03-31T23:30:00Z", "1")


def test_the_replay_clock_is_refused_where_it_is_not_declared(tmp_path: Path) -> None:
    declare(tmp_path, write_serving_directory(tmp_path / "serving"), replay_clock=False)
    with client_of(tmp_path) as client:
        answer = client.post("/score", json=RECORD, headers={CLOCK_HEADER: "2013-04-01T09:00:00Z"})
        assert (answer.status_code, client.post("/score", json=RECORD).status_code) == (400, 200)


def test_without_a_model_the_host_lives_but_is_not_ready_and_says_why(tmp_path: Path) -> None:
    declare(tmp_path, tmp_path / "nowhere")
    with client_of(tmp_path) as client:
        assert client.get("/").status_code == 200
        for answer in (client.get("/health/ready"), client.post("/score", json=RECORD)):
            assert answer.status_code == 503
            assert "nowhere" in answer.json()["message"]


def test_a_log_that_cannot_be_written_is_counted_and_scoring_goes_on(tmp_path: Path) -> None:
    declare(tmp_path, write_serving_directory(tmp_path / "serving"))
    (tmp_path / "log").write_text("a file where the folder should be")
    with client_of(tmp_path) as client:
        assert client.post("/score", json={"records": [RECORD, RECORD]}).status_code == 200
        deadline = time.monotonic() + 10
        while (ready := client.get("/health/ready").json())["inference_log"]["dropped_rows"] != 2:
            assert time.monotonic() < deadline, ready


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    write_state(tmp_path / KEYS_FILE, Keys("first-key", "second-key"))
    (tmp_path / KEYS_FILE).chmod(0o644)
    with pytest.raises(ValueError, match="0600"):
        Host(tmp_path)


class Caller:
    """One POST to /score whose body comes as the test says: `given` are the parts, the last one of which is missing."""

    def __init__(self, *given: bytes, whole: bool = False) -> None:
        self._parts: list[Message] = [{"type": "http.request", "body": part, "more_body": not whole} for part in given]
        self._goes_on = asyncio.Event()
        self._sent: list[Message] = []
        headers = [(b"authorization", b"Bearer first-key"), (b"content-type", b"application/json")]
        self._scope: Scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}
        if whole:
            self._scope[WHOLE] = True

    async def ask(self, app: ASGIApp) -> int:
        """The status of the answer."""
        await app(self._scope, self._receive, self._send)
        return self._sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self._sent[0]["headers"])

    @property
    def message(self) -> str:
        return json.loads(self._sent[1]["body"])["message"]

    def go_away(self) -> None:
        self._goes_on.set()

    async def _receive(self) -> Message:
        if self._parts:
            return self._parts.pop(0)
        await self._goes_on.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._sent.append(message)


def in_process(endpoint: Path, test: Callable[[ASGIApp, Host], Coroutine[None, None, None]]) -> None:
    """Run `test` on the application of a host that has loaded its model."""

    async def run() -> None:
        host = host_of(endpoint)
        await host.converge()
        await test(create_app(host), host)
        host.log.close()

    asyncio.run(run())


@pytest.mark.parametrize("parts", [[], [b'{"carrier":'], [b"{", b'"carrier":']])
def test_a_body_that_does_not_come_to_its_end_is_given_up_even_when_it_never_begins(
    endpoint: Path, monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    monkeypatch.setattr("ml_platform.scoring.bodies.BODY_SECONDS", 0.05)

    async def test(app: ASGIApp, _: Host) -> None:
        caller = Caller(*parts)
        assert await asyncio.wait_for(caller.ask(app), 5) == 408
        assert caller.headers[b"connection"] == b"close"
        assert "did not come" in caller.message

    in_process(endpoint, test)


def test_more_slow_bodies_than_may_be_kept_are_sent_away_while_whole_ones_are_answered(endpoint: Path) -> None:
    whole = json.dumps(RECORD).encode()

    async def test(app: ASGIApp, _: Host) -> None:
        slow = [Caller(b"{") for _ in range(MAX_SLOW_BODIES)]
        asking = [asyncio.create_task(each.ask(app)) for each in slow]
        await asyncio.sleep(0)
        late, quick = Caller(b"{"), Caller(whole, whole=True)
        assert (await late.ask(app), late.headers[b"retry-after"]) == (429, b"1")
        assert await quick.ask(app) == 200
        for each in slow:
            each.go_away()
        assert set(await asyncio.gather(*asking)) == {400}
        late = Caller(b"{")
        late.go_away()
        assert await late.ask(app) == 400

    in_process(endpoint, test)


def test_requests_that_wait_for_their_bodies_are_none_too_many(endpoint: Path) -> None:
    whole = json.dumps(RECORD).encode()

    async def test(app: ASGIApp, host: Host) -> None:
        slow = [Caller(*parts) for parts in ([], [b"{"]) for _ in range(3)]
        asking = [asyncio.create_task(each.ask(app)) for each in slow]
        host.underway.update(asking)
        await asyncio.sleep(0)
        host.most_at_once = 2
        assert await Caller(whole, whole=True).ask(app) == 200
        for each in slow:
            each.go_away()
        await asyncio.gather(*asking)

    in_process(endpoint, test)


def test_of_requests_that_come_at_once_only_those_beyond_the_declared_number_are_sent_away(endpoint: Path) -> None:
    whole = json.dumps(RECORD).encode()

    async def test(app: ASGIApp, host: Host) -> None:
        host.most_at_once = 7
        callers = [Caller(whole, whole=True) for _ in range(10)]
        asking = [asyncio.create_task(each.ask(app)) for each in callers]
        host.underway.update(asking)
        statuses = await asyncio.gather(*asking)
        assert sorted(statuses) == [200] * 7 + [429] * 3
        away = callers[statuses.index(429)]
        assert (away.headers[b"retry-after"], "too many" in away.message) == (b"1", True)

    in_process(endpoint, test)


@pytest.mark.parametrize(("method", "path"), [("POST", "/score"), ("GET", "/openapi.json")])
def test_what_fails_is_answered_once_as_a_failure_of_the_host_with_the_ids(
    endpoint: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("what no caller may read")

    monkeypatch.setattr("ml_platform.scoring.app.datetime", None)
    monkeypatch.setattr("ml_platform.scoring.others._main", fails)
    sent: list[Message] = []
    with client_of(endpoint) as client:
        app, headers = client.app, {"x-request-id": "abc"}

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            async def note(message: Message) -> None:
                sent.append(message)
                await send(message)

            await app(scope, receive, note)

        client._transport.app = noted  # pyright: ignore
        answer = client.request(method, path, json=RECORD, headers=headers)
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "abc")
    assert answer.json() == {"message": "the host failed; its log says why"}
    assert [message["type"] for message in sent].count("http.response.start") == 1


def mirroring(directory: Path, bias: float = 1.0) -> None:
    serving = write_serving_directory(directory / "serving")
    declare(directory, serving, green=write_serving_directory(directory / "green", bias))


def shadowed(host: Host, count: int) -> Counts:
    """What green has counted, once it has scored so many requests."""
    deadline = time.monotonic() + 10
    while (counts := host.measures.of("shadow", "green/2")).requests < count:
        assert time.monotonic() < deadline, counts
    return counts


def test_a_mirrored_request_is_scored_twice_but_answered_and_logged_once(tmp_path: Path) -> None:
    mirroring(tmp_path)
    host = host_of(tmp_path)
    with client_of(tmp_path, host) as client:
        for _ in range(3):
            answer = client.post("/score", json=RECORD)
            assert answer.json()["predictions"][0]["probability"] == pytest.approx(probability(1.5, 1), abs=1e-6)
            assert (answer.json()["model"]["version"], answer.headers[DEPLOYMENT_HEADER]) == ("1", "blue")
        counts = shadowed(host, 3)
    assert (counts.failed, sum(counts.predictions)) == (0, 3)
    assert counts.predictions[int(probability(1.5, 1, 1.0) * BINS)] == 3
    assert len(logged(tmp_path, "model_inputs")) == len(logged(tmp_path, "model_outputs")) == 3
    assert not list((tmp_path / "log").glob("delays/green"))


def test_probes_and_requests_for_a_deployment_by_its_name_are_not_mirrored(tmp_path: Path) -> None:
    mirroring(tmp_path)
    host = host_of(tmp_path)
    with client_of(tmp_path, host) as client:
        assert client.post("/score", json=RECORD, headers={DEPLOYMENT_HEADER: "blue"}).is_success
        assert client.post("/score", json=RECORD, headers={PROBE_HEADER: "1"}).is_success
        named = client.post("/score", json=RECORD, headers={DEPLOYMENT_HEADER: "green"})
        assert (named.json()["model"]["version"], named.headers[DEPLOYMENT_HEADER]) == ("2", "green")
        client.post("/score", json=RECORD)
        assert shadowed(host, 1).requests == 1


@pytest.mark.parametrize("fault", ["fails", "other inputs"])
def test_a_mirror_that_fails_or_takes_other_inputs_is_counted_and_harms_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    mirroring(tmp_path)
    if fault == "other inputs":
        path = tmp_path / "green" / SIGNATURE_FILE
        path.write_text(path.read_text().replace('"distance"', '"air_time"'))
    host = host_of(tmp_path)
    with client_of(tmp_path, host) as client:
        if fault == "fails":
            monkeypatch.setattr(host.routes.ready["green"], "score", failing)
        for _ in range(3):
            answer = client.post("/score", json=RECORD)
            assert (answer.status_code, answer.json()["model"]["version"]) == (200, "1")
        counts = shadowed(host, 3)
    assert (counts.failed, sum(counts.predictions)) == (3, 0)
    assert host.measures.live["blue/1"].failed == 0


def test_a_mirror_that_does_not_keep_up_is_skipped_and_harms_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirroring(tmp_path)
    host, goes_on = host_of(tmp_path), threading.Event()
    with client_of(tmp_path, host) as client:
        green = host.routes.ready["green"]
        score = green.score
        monkeypatch.setattr(green, "score", lambda records: goes_on.wait(10) and score(records))
        for _ in range(MAX_WAITING + 3):
            assert client.post("/score", json=RECORD).is_success
        goes_on.set()
        assert shadowed(host, MAX_WAITING).failed == 0
    assert host.measures.skipped_shadows == 3


def failing(_: object) -> list[float]:
    raise RuntimeError("the model fails")


def test_a_model_that_fails_is_counted_and_its_caller_told_nothing_of_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, write_serving_directory(tmp_path / "serving"))
    host = host_of(tmp_path)
    with client_of(tmp_path, host) as client:
        monkeypatch.setattr(host.routes.ready["blue"], "score", failing)
        answer = client.post("/score", json=RECORD)
    assert (answer.status_code, answer.json()) == (500, {"message": "the host failed; its log says why"})
    assert (host.measures.live["blue/1"].failed, host.measures.answers) == (1, {500: 1})


def test_the_metrics_count_answers_by_status_and_requests_by_deployment_but_no_probes(tmp_path: Path) -> None:
    declare(tmp_path, write_serving_directory(tmp_path / "serving"))
    with client_of(tmp_path) as client:
        client.post("/score", json={"records": [RECORD, RECORD]})
        client.post("/score", json=RECORD, headers={PROBE_HEADER: "1"})
        client.post("/score", json={})
        client.post("/score", json=RECORD, headers={"authorization": "Bearer wrong"})
        answer = client.get("/metrics", headers={"authorization": ""})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    blue = {"deployment": "blue", "model_version": "1", "role": "live"}
    answers = [sample(answer.text, "scoring_requests_total", status=status) for status in ("200", "401", "422")]
    assert answers == [2, 1, 1]
    assert sample(answer.text, "scoring_seconds_count", **blue) == 1
    assert sample(answer.text, "scoring_prediction_bucket", le="+Inf", **blue) == 2


@pytest.mark.parametrize(
    "batch",
    [
        {"inputs": {"distance": [1] * 300_000}},
        {"dataframe_split": {"columns": ["distance"], "data": [[1]] * 300_000}},
    ],
)
def test_a_body_that_brings_far_too_many_rows_is_refused_before_records_are_made_of_them(
    client: TestClient, batch: dict[str, Any]
) -> None:
    body = json.dumps(batch)
    assert len(body) < MAX_BODY_BYTES
    tracemalloc.start()
    try:
        answer = client.post("/score", content=body, headers=JSON)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status_code, f"length <= {MAX_RECORDS}" in answer.json()["message"]) == (422, True)
    # The rows themselves are 26 MB; a dictionary for each would be 70 MB more.
    assert most < 50e6
