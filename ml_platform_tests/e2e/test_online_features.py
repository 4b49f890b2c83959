"""A caller sends what it knows of a flight: the live endpoint finds the rest, and the next day's check agrees."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_platform.core import keys
from ml_platform.gateways.endpoints import ScoringClient
from ml_platform.replay.endpoint_log import logged, wait_for_log
from ml_platform_tests.e2e.line import PRODUCT, REPLAYED, Line, copy_of, environment_of

DAY = REPLAYED[-1]
AS_OF = f"{DAY}T15:00:00-05:00"
STEP = "features__flight_delays_online"


@pytest.fixture
def asked(line: Line, tmp_path: Path) -> Any:
    with copy_of(line, tmp_path / "home") as other, environment_of(other.settings):
        other.materialise([keys.endpoint(PRODUCT)])
        other.materialise([keys.online_features(PRODUCT)], config={STEP: {"config": {"as_of": AS_OF}}})
        yield other


def test_flights_of_an_hour_are_asked_about_and_checked(asked: Line) -> None:
    online = asked.product.features.online
    assert online
    since = datetime.fromisoformat(AS_OF) + timedelta(hours=1)
    lake, endpoints = asked.gateways.lake, asked.gateways.endpoints
    rows = lake.rows(keys.lake(online.asked_of), DAY, DAY)
    flights = [row for row in rows if since <= row["sched_dep_at"] < since + timedelta(hours=1)]
    before = logged(lake, asked.product, DAY)
    with ScoringClient(endpoints.scoring_uri(PRODUCT), endpoints.keys(PRODUCT).primary) as client:
        for flight in flights:
            request = {name: flight[name] for name in online.request}
            client.score_one(request, time=flight["sched_dep_at"] - timedelta(hours=1))
    wait_for_log(lake, asked.product, DAY, before + len(flights))
    asked.materialise(
        [keys.monitoring(PRODUCT, "inference_log"), keys.monitoring(PRODUCT, "online_features")], (DAY, DAY)
    )
    log = asked.read(keys.monitoring(PRODUCT, "inference_log"), (DAY, DAY))
    completed = log[log["online"].notna()]
    assert len(completed) == len(flights) > 50
    assert {json.loads(note)["snapshot"]["until"] for note in completed["online"]} == {DAY}
    assert asked.metadata(keys.monitoring(PRODUCT, "online_features"))["completed"].value == len(flights)
    checked = asked.read(keys.monitoring(PRODUCT, "online_features"), (DAY, DAY))
    assert (checked["completed"] == len(flights)).all()
    assert not checked["differing"].any()
    # As of one instant for all: the same model on values that are up to an hour older says nearly the same.
    whole = log[log["online"].isna()].set_index("flight_id")["probability"]
    both = completed.set_index("flight_id")["probability"].to_frame("online").join(whole)
    assert both["online"].corr(both["probability"]) > 0.8
