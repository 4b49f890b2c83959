"""Mirrored requests are scored by another deployment, and nobody but the measures sees it."""

import threading
import time
from pathlib import Path

import pytest

from ml_platform.scoring.encoding import SIGNATURE_FILE
from ml_platform.scoring.headers import DEPLOYMENT_HEADER, PROBE_HEADER
from ml_platform.scoring.host import Host
from ml_platform.scoring.measures import BINS, Counts
from ml_platform.scoring.mirror import MAX_WAITING
from ml_platform_tests.serving_directories import RECORD, probability, write_serving_directory
from ml_platform_tests.unit.scoring_host import client_of, declare, failing, host_of, logged


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
