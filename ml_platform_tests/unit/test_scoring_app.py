"""The scoring contract, on the application in this process."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from ml_platform.scoring.bodies import MAX_BODY_BYTES
from ml_platform.scoring.headers import CLOCK_HEADER, PROBE_HEADER
from ml_platform.scoring.host import Host
from ml_platform.scoring.records import MAX_RECORDS
from ml_platform.scoring.state import (
    KEYS_FILE,
    Keys,
    write_state,
)
from ml_platform_tests.serving_directories import RECORD, probability, write_serving_directory
from ml_platform_tests.unit.scoring_host import client_of, declare, failing, host_of, logged
from ml_platform_tests.unit.test_scoring_measures import sample

JSON = {"content-type": "application/json"}


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
    assert sample(answer.text, "scoring_processor_seconds_count", **blue) == 1
    assert sample(answer.text, "scoring_prediction_bucket", le="+Inf", **blue) == 2
