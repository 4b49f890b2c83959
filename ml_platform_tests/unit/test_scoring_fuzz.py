"""No body, however odd, makes the scoring application fail."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ml_platform_tests.serving_directories import RECORD, write_serving_directory
from ml_platform_tests.unit.scoring_host import client_of, declare

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*RECORD.values(), "9999-12-31T23:59:59Z", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*RECORD, "x"]), inner, max_size=4),
    max_leaves=8,
)
FITTING = st.fixed_dictionaries(
    {
        "distance": st.none() | st.integers() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        "carrier": st.none() | st.text(),
        "flight_id": st.text(min_size=1) | st.integers(),
        "sched_dep_at": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    },
    optional={"x": VALUES},
)
RECORDS = (
    st.fixed_dictionaries({}, optional=dict.fromkeys(RECORD, VALUES))
    | st.builds(lambda changes: RECORD | changes, st.dictionaries(st.sampled_from(list(RECORD)), VALUES, max_size=2))
    | FITTING
)
COLUMNS = (st.lists(RECORDS, max_size=3) | st.lists(FITTING, max_size=3)).map(
    lambda rows: {name: [row.get(name) for row in rows] for name in RECORD}
)
FRAMES = st.fixed_dictionaries(
    {"columns": st.just(list(RECORD)) | VALUES, "data": st.lists(st.lists(VALUES, max_size=5), max_size=3)}
) | COLUMNS.map(
    lambda columns: {"columns": list(columns), "data": [list(row) for row in zip(*columns.values(), strict=True)]}
)
BATCHES = st.dictionaries(
    st.sampled_from(["records", "dataframe_records", "dataframe_split", "inputs"]),
    st.lists(RECORDS, max_size=3) | st.lists(FITTING, max_size=3) | FRAMES | COLUMNS | VALUES,
    max_size=2,
)
BODIES = VALUES | RECORDS | FITTING | BATCHES


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    directory = tmp_path_factory.mktemp("endpoint")
    declare(directory, write_serving_directory(directory / "serving"))
    with client_of(directory) as client:
        yield client


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES)
def test_any_json_is_answered_or_refused_but_never_fails(client: TestClient, body: Any) -> None:
    answer = client.post("/score", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422)
    answered = answer.json()
    assert "predictions" in answered if answer.status_code == 200 else answered["message"]


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_but_never_fail(client: TestClient, body: bytes) -> None:
    answer = client.post("/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
