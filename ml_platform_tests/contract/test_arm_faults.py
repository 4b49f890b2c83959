"""Faults of the emulated cloud: each is counted, and the real SDK survives what the service's clients must survive."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ml_platform_tests.contract.arm_calls import PLACE, ask
from ml_platform_tests.emulators.entering import enter
from ml_platform_tests.emulators.process import Cloud, Emulator, started

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


@pytest.mark.parametrize("kind", ["throttle", "error", "unavailable", "drop", "drop_answer", "expired"])
def test_the_sdk_survives_what_passes(arm: Emulator, client: "MLClient", kind: str) -> None:
    arm.fault(kind, "GET", "/datastores/lake$")
    assert client.datastores.get("lake").name == "lake"
    statuses = [call["status"] for call in arm.record()["calls"] if call["path"].endswith("/datastores/lake")]
    first = {"throttle": 429, "error": 500, "unavailable": 503, "drop": 0, "drop_answer": 0, "expired": 401}[kind]
    assert statuses == [first, 200]
    assert arm.faults_left() == []


def test_the_answer_is_lost_but_the_work_is_done(arm: Emulator, client: "MLClient") -> None:
    from azure.ai.ml.entities import Model

    arm.fault("drop_answer", "PUT", "/models/lost/")
    client.models.create_or_update(Model(name="lost", version="1", path="azureml://datastores/lake/paths/lost"))
    puts = [call["status"] for call in arm.record()["calls"] if call["method"] == "PUT"]
    assert puts == [0, 200]  # the second finds what the first made: 201 would be a second creation


def test_a_permanent_fault_is_one_clear_error(arm: Emulator, client: "MLClient") -> None:
    from azure.core.exceptions import HttpResponseError

    arm.fault("forbidden", path="/datastores/", count=100)
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        client.datastores.get("lake")


def test_a_fault_waits_for_the_call_that_it_is_meant_for(arm: Emulator) -> None:
    arm.fault("error", "DELETE", "/datastores/other", count=3)
    assert ask(arm, "GET", "/datastores/lake").status_code == 200
    assert [fault["count"] for fault in arm.faults_left()] == [3]
    arm.clear_faults()
    assert arm.faults_left() == []


def test_latency_delays_the_answer(arm: Emulator) -> None:
    arm.fault("latency", path="/datastores/lake", seconds=0.5)
    began = time.monotonic()
    assert ask(arm, "GET", "/datastores/lake").status_code == 200
    assert time.monotonic() - began >= 0.5


def test_a_token_that_expires_is_renewed_by_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    with started(Cloud(tmp_path, token_seconds=2), "arm") as arm:
        enter(arm, monkeypatch)
        client = MLClient(DefaultAzureCredential(), PLACE.subscription, PLACE.group, PLACE.name)
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            assert client.datastores.get("lake").name == "lake"
        calls = arm.record()["calls"]
    assert {call["status"] for call in calls} == {200}
    assert sum(call["path"] == "/msi/token" for call in calls) > 2


def test_an_emulator_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = f"""
import os, pathlib
from ml_platform_tests.emulators.process import Cloud, started
with started(Cloud(pathlib.Path({str(tmp_path)!r})), "arm") as arm:
    print(arm.process.pid, flush=True)
    os._exit(1)
"""
    pid = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    ends = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "the emulator lives on"
