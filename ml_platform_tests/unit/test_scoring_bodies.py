"""Bodies that are slow, too many or too large, in the application in this process."""

import asyncio
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from ml_platform.scoring.bodies import MAX_BODY_BYTES, MAX_SLOW_BODIES
from ml_platform.scoring.host import Host
from ml_platform.scoring.records import MAX_RECORDS
from ml_platform_tests.serving_directories import RECORD
from ml_platform_tests.unit.scoring_host import Caller, in_process

JSON = {"content-type": "application/json"}


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
        host.most_at_once = 2
        slow = [Caller(*parts) for parts in ([], [b"{"]) for _ in range(3)]
        asking = [asyncio.create_task(each.ask(app)) for each in slow]
        await asyncio.sleep(0)
        assert await Caller(whole, whole=True).ask(app) == 200
        for each in slow:
            each.go_away()
        assert set(await asyncio.gather(*asking)) == {400}

    in_process(endpoint, test)


def test_of_requests_that_come_at_once_only_those_beyond_the_declared_number_are_sent_away(endpoint: Path) -> None:
    whole = json.dumps(RECORD).encode()

    async def test(app: ASGIApp, host: Host) -> None:
        host.most_at_once = 7
        callers = [Caller(whole, whole=True) for _ in range(10)]
        asking = [asyncio.create_task(each.ask(app)) for each in callers]
        statuses = await asyncio.gather(*asking)
        assert sorted(statuses) == [200] * 7 + [429] * 3
        away = callers[statuses.index(429)]
        assert (away.headers[b"retry-after"], "too many" in away.message) == (b"1", True)

    in_process(endpoint, test)


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
