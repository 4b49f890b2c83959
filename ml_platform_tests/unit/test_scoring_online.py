"""The scoring server completes what a caller does not send, and says in the log what it did."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.scoring.computed import Computed
from ml_platform.scoring.headers import CLOCK_HEADER
from ml_platform_tests.online_stores import AS_OF, COMPUTED, PASSWORD, REQUEST, declared_online, fill, redis_server
from ml_platform_tests.serving_directories import RECORD, probability, write_serving_directory
from ml_platform_tests.unit.scoring_host import client_of, declare, host_of, logged

SECONDS_LATER = 600


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty store of each kind."""
    if request.param == "sqlite":
        yield (tmp_path / "online").as_uri()
        return
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    with redis_server(tmp_path / "redis") as (uri, _):
        yield uri


@pytest.fixture
def endpoint(tmp_path: Path) -> Path:
    (tmp_path / "endpoint").mkdir()
    return tmp_path / "endpoint"


def served(endpoint: Path, store: str, **more: Any) -> None:
    serving = write_serving_directory(endpoint / "model")
    declare(endpoint, serving, online=declared_online(store, **more))


def asked(client: TestClient, record: Any, after: float = SECONDS_LATER) -> Any:
    at = datetime.fromtimestamp(AS_OF + after, UTC).isoformat()
    return client.post("/score", json=record, headers={CLOCK_HEADER: at})


def answer(client: TestClient, record: Any, after: float = SECONDS_LATER) -> float:
    response = asked(client, record, after)
    assert response.status_code == 200, response.text
    [prediction] = response.json()["predictions"]
    return prediction["probability"]


def rows_of(endpoint: Path) -> list[dict[str, Any]]:
    return [row for line in logged(endpoint, "model_inputs") for row in line["data"]]


def test_a_request_is_answered_as_the_whole_record_and_logged_as_one(endpoint: Path, store: str) -> None:
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        completed, whole = answer(client, REQUEST), answer(client, RECORD)
    assert completed == whole == pytest.approx(probability(1.5, 1))
    row, same = rows_of(endpoint)
    note = json.loads(row.pop("online"))
    assert row == same
    assert note == {
        "snapshot": {"as_of": AS_OF, "until": "2013-03-31", "sources": {"flights": 7}},
        "request": REQUEST,
    }


def test_of_a_key_that_the_store_does_not_have_what_is_known_of_none_counts(endpoint: Path, store: str) -> None:
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        assert answer(client, REQUEST | {"dest": "XXX"}) == pytest.approx(probability(-2, 1))
        assert answer(client, REQUEST | {"dest": None}) == pytest.approx(probability(-2, 1))


def test_what_the_caller_sends_is_taken_also_where_it_is_null(endpoint: Path, store: str) -> None:
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        assert answer(client, REQUEST | {"distance": 0.25}) == pytest.approx(probability(0.25, 1))
        assert answer(client, REQUEST | {"distance": None}) == pytest.approx(probability(0, 1))
    assert [json.loads(row["online"])["given"] for row in rows_of(endpoint)] == [["distance"], ["distance"]]


@pytest.mark.parametrize(
    ("after", "own", "why"),
    [
        (3_601, {}, "older than its time to live"),
        (61, {"ttl_seconds_of": {"distance": 60.0}}, "older than its time to live"),
        (-1, {}, "later than the request"),
    ],
)
def test_a_value_that_is_too_old_or_from_after_the_request_is_missing_and_the_log_says_so(
    endpoint: Path, tmp_path: Path, after: float, own: dict[str, Any], why: str
) -> None:
    store = (tmp_path / "online").as_uri()
    fill(store)
    served(endpoint, store, **own)
    with client_of(endpoint) as client:
        assert answer(client, REQUEST, after) == pytest.approx(probability(0, 1))
        assert "scoring_incomplete_records_total 1.0" in client.get("/metrics").text
    [row] = rows_of(endpoint)
    assert row["distance"] is None
    assert json.loads(row["online"])["missing"] == {"distance": why}


def test_values_are_used_to_the_last_second_of_their_time_to_live(endpoint: Path, tmp_path: Path) -> None:
    store = (tmp_path / "online").as_uri()
    fill(store)
    served(endpoint, store, ttl_seconds=60.0, ttl_seconds_of={"distance": 3600.0})
    with client_of(endpoint) as client:
        assert answer(client, REQUEST, 3600) == answer(client, REQUEST, 0) == pytest.approx(probability(1.5, 1))


@pytest.mark.parametrize("name", ["carrier", "dest", "sched_dep_at"])
def test_a_request_that_lacks_a_column_is_refused_by_its_name(endpoint: Path, tmp_path: Path, name: str) -> None:
    store = (tmp_path / "online").as_uri()
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        response = asked(client, {key: value for key, value in REQUEST.items() if key != name})
    assert response.status_code == 422
    assert name in response.json()["message"]


def test_a_request_from_which_no_key_follows_is_refused(endpoint: Path, tmp_path: Path) -> None:
    store = (tmp_path / "online").as_uri()
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        response = asked(client, REQUEST | {"flight": None})
        assert response.status_code == 422
        assert "'flight_id'" in response.json()["message"]
        assert answer(client, REQUEST | {"flight": None, "flight_id": "its-own"}) > 0


def test_an_empty_store_refuses_requests_and_not_whole_records(endpoint: Path, store: str) -> None:
    served(endpoint, store)
    with client_of(endpoint) as client:
        assert asked(client, REQUEST).status_code == 503
        assert answer(client, RECORD) == pytest.approx(probability(1.5, 1))
        fill(store)
        assert eventually(client, probability(1.5, 1))


def test_a_new_snapshot_is_used_as_a_whole_soon_after_it_is_there(endpoint: Path, store: str) -> None:
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        assert answer(client, REQUEST) == pytest.approx(probability(1.5, 1))
        fill(store, {("EWR", "IAH"): 3.0, (None, None): None}, AS_OF + 60)
        assert eventually(client, probability(3, 1))
        assert answer(client, REQUEST | {"dest": "XXX"}) == pytest.approx(probability(0, 1))
    assert json.loads(rows_of(endpoint)[-1]["online"])["snapshot"]["as_of"] == AS_OF + 60


def test_what_was_read_goes_on_while_the_store_is_away_and_the_rest_is_missing(
    endpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    with redis_server(tmp_path / "redis") as (store, process):
        fill(store)
        served(endpoint, store)
        with client_of(endpoint) as client:
            assert answer(client, REQUEST) == pytest.approx(probability(1.5, 1))
            process.kill()
            process.wait()
            assert answer(client, REQUEST) == pytest.approx(probability(1.5, 1))
            assert answer(client, REQUEST | {"dest": "XXX"}) == pytest.approx(probability(0, 1))
    assert json.loads(rows_of(endpoint)[-1]["online"])["missing"] == {"distance": "the store did not answer"}


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"as_of":1}'])
def test_a_store_that_is_none_is_refused_and_whole_records_are_answered(
    endpoint: Path, tmp_path: Path, text: str
) -> None:
    from dbx_jobs.online_store import replace_rows

    store = (tmp_path / "online").as_uri()
    replace_rows(store, "delays", [("snapshot", text)])
    served(endpoint, store)
    with client_of(endpoint) as client:
        assert asked(client, REQUEST).status_code == 503
        assert answer(client, RECORD) == pytest.approx(probability(1.5, 1))


def test_a_shadow_completes_requests_too(endpoint: Path, store: str) -> None:
    fill(store)
    first, second = (write_serving_directory(endpoint / name) for name in ("model", "other"))
    declare(endpoint, first, green=second, online=declared_online(store))
    host = host_of(endpoint)
    with client_of(endpoint, host) as client:
        assert answer(client, REQUEST) == pytest.approx(probability(1.5, 1))
        deadline = time.monotonic() + 5
        while not host.measures.of("shadow", "green/2").requests:
            assert time.monotonic() < deadline
        shadow = host.measures.of("shadow", "green/2")
    assert (shadow.failed, shadow.mean) == (0, pytest.approx(probability(1.5, 1)))


def test_several_requests_are_completed_in_order(endpoint: Path, store: str) -> None:
    fill(store)
    served(endpoint, store)
    with client_of(endpoint) as client:
        response = asked(client, {"records": [REQUEST, REQUEST | {"dest": "XXX"}, RECORD]})
    found = [each["probability"] for each in response.json()["predictions"]]
    assert found == pytest.approx([probability(1.5, 1), probability(-2, 1), probability(1.5, 1)])


def test_the_document_says_that_inputs_may_be_left_out(endpoint: Path, store: str) -> None:
    served(endpoint, store)
    with client_of(endpoint) as client:
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Record"]
    assert schema["required"] == ["sched_dep_at"]
    assert {"distance", "flight_id", "dest", "flight"} <= set(schema["properties"])


@pytest.mark.parametrize(
    "expression",
    [
        "load_extension('x')",
        "randomblob(1000000000)",
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)",
        "1; DROP TABLE online",
        "nowhere",
    ],
)
def test_an_expression_that_asks_for_more_than_the_request_is_refused_by_its_name(expression: str) -> None:
    with pytest.raises(ValueError, match="'wanted'"):
        Computed({"wanted": expression}, ["day"])


def test_expressions_see_the_clock_of_the_source(endpoint: Path, tmp_path: Path) -> None:
    store = (tmp_path / "online").as_uri()
    shown = "day || ' ' || dayofweek(day) || ' ' || year || '-' || month || '-' || dayofmonth || ' ' || sched_dep_time"
    fill(store, computed=COMPUTED | {"flight_id": shown})
    served(endpoint, store)
    with client_of(endpoint) as client:
        answer(client, REQUEST | {"sched_dep_at": "2013-04-01T03:05:00Z"})
    assert [row["flight_id"] for row in rows_of(endpoint)] == ["2013-03-31 1 2013-3-31 2305"]


def eventually(client: TestClient, expected: float) -> bool:
    """Whether the answer becomes the expected one."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        response = asked(client, REQUEST)
        if response.status_code == 200 and response.json()["predictions"][0]["probability"] == pytest.approx(expected):
            return True
    return False
