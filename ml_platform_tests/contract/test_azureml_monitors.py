"""Azure ML's own monitor in the loopback cloud: it watches what serves, measures what was logged, and is read back."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from dbx_jobs.object_store import delta_options
from ml_platform.core.azureml_monitor import Measured, MonitorRun, judge
from ml_platform.core.product_monitors import SignalName
from ml_platform.errors import SettingsError
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.monitors import AzureMonitors, Reference, Watch
from ml_platform.scoring.container_contract import INFERENCE_LOG
from ml_platform_tests.contract.cloud import SCORING_ENVIRONMENT, Loopback
from ml_platform_tests.contract.cloud_world import CloudWorld, cloud_world
from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.contract.local_world import NAME
from ml_platform_tests.emulators.entering import enter
from ml_platform_tests.loopback_cloud import WORKSPACE, tracking_uri
from ml_platform_tests.serving_directories import CARRIERS, RECORD

pytestmark = pytest.mark.cloud

HOSTING = Hosting(WORKSPACE, SCORING_ENVIRONMENT)
MONITOR = HOSTING.monitor_name(NAME)
ROWS = 400
BOUNDS: dict[SignalName, dict[str, float]] = {
    "data_drift": {"population_stability_index": 0.25},
    "data_quality": {"null_value_rate": 0.99, "data_type_error_rate": 0.2, "out_of_bounds_rate": 0.2},
}


@dataclass
class Monitored:
    """An endpoint whose model has learnt from a table of the lake, and the gateway to its monitor."""

    world: CloudWorld
    monitors: AzureMonitors
    bounds: dict[SignalName, dict[str, float]] = field(default_factory=lambda: dict(BOUNDS))
    version: str = ""

    def serve(self, version: str = "1", colour: str = "blue") -> None:
        self.version = version
        self.world.endpoints.deploy(self.world.declaration(version, colour))

    def ask(self, distances: "np.ndarray[Any, Any]") -> list[str]:
        """The ids of the predictions."""
        records = [RECORD | {"distance": float(d), "carrier": CARRIERS[n % 3]} for n, d in enumerate(distances)]
        before = set(self.world.logged("model_inputs"))
        self.world.client().score(records)
        deadline = time.monotonic() + 30
        while len(ids := sorted(set(self.world.logged("model_outputs")) - before)) < len(records):
            assert time.monotonic() < deadline, "the container does not log"
            time.sleep(0.2)
        return ids

    def watch(self, colour: str = "blue", version: str = "1") -> str:
        return self.monitors.watch(self.wanted(colour, version))

    def wanted(self, colour: str, version: str) -> Watch:
        lake = self.world.cloud.lake
        reference = Reference(f"{lake}/features/flights", 0, "2013-01-01", "2013-01-31", "late")
        truth = f"{lake}/monitoring/flights/ground_truth"
        inputs, output = ("distance", "carrier"), "probability"
        return Watch(
            NAME, colour, version, inputs, output, reference, truth, self.bounds, 7, "0 6 * * *", "standard_e4s_v3"
        )

    def run(self) -> MonitorRun:
        """Let the service run the monitor once, and read it back when it has ended."""
        job = self.world.cloud.client().schedules.trigger(MONITOR).job_name
        deadline = time.monotonic() + 60
        while not (found := self.monitors.read(NAME).run) or found.name != job:
            assert time.monotonic() < deadline, "the monitor does not end"
            time.sleep(0.3)
        return found

    def verdict(self, signal: SignalName) -> tuple[str, str]:
        found = judge(signal, self.monitors.read(NAME), self.version, 26, datetime.now(UTC))
        return found.verdict, found.sentence


def learnt(rows: int = 2000) -> "np.ndarray[Any, Any]":
    return np.random.default_rng(1).normal(1.0, 0.5, rows)


@pytest.fixture
def monitored(tmp_path: Path, hosting_cloud: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    enter(hosting_cloud.arm, monkeypatch)
    tracking = tracking_uri(hosting_cloud.arm)
    with cloud_world(tmp_path, hosting_cloud) as world:
        _write_features(hosting_cloud.lake)
        yield Monitored(world, AzureMonitors(HOSTING, Lake(hosting_cloud.lake), "lake", tracking))


def _write_features(lake: str) -> None:
    distance = learnt()
    days = [f"2013-01-{1 + n % 31:02}" for n in range(len(distance))]
    rows = {"distance": distance, "carrier": [CARRIERS[n % 3] for n in range(len(distance))], "late": distance > 1}
    # What the model has not learnt from: another month, far away.
    far = {"distance": np.full(500, 99.0), "carrier": ["XX"] * 500, "late": [True] * 500}
    tables = [pa.table({"day": each, **r}) for each, r in ((days, rows), (["2013-03-01"] * 500, far))]
    table = pa.concat_tables(tables).set_column(0, "day", pa.concat_tables(tables)["day"].cast(pa.date32()))
    write_deltalake(f"{lake}/features/flights", table, partition_by=["day"], storage_options=delta_options())


def of(run: MonitorRun, signal: str, metric: str) -> dict[str, Measured]:
    return {each.feature: each for each in run.measured if (each.signal, each.metric) == (signal, metric)}


def test_what_was_asked_like_the_training_is_within_all_bounds(
    monitored: Monitored, request: pytest.FixtureRequest
) -> None:
    monitored.serve()
    monitored.ask(learnt(ROWS))
    assert monitored.verdict("data_drift")[0] == "not watched"
    monitored.world.cloud.arm.clear()
    page = monitored.watch()
    assert_calls(monitored.world.cloud.arm, "watch_endpoint", request)
    assert MONITOR in page
    assert monitored.verdict("data_drift")[0] == "no run yet"
    found = monitored.run()
    drift = of(found, "data_drift", "PopulationStabilityIndex")
    assert drift.keys() == {"distance", "carrier"}, found
    # The days and the version that the model has learnt from: March, far away, is not among them.
    assert all(each.value < 0.1 and each.threshold == 0.25 for each in drift.values()), drift
    assert of(found, "data_quality", "NullValueRate")["distance"].threshold == 0.99
    for signal in BOUNDS:
        assert monitored.verdict(signal)[0] == "within"


def test_a_drifted_column_is_named_with_its_figure_and_the_next_good_run_is_within_again(
    monitored: Monitored,
) -> None:
    monitored.serve()
    monitored.watch()
    monitored.ask(learnt(ROWS) + 3)
    found = monitored.run()
    drift = of(found, "data_drift", "PopulationStabilityIndex")
    assert drift["distance"].beyond and not drift["carrier"].beyond
    verdict, sentence = monitored.verdict("data_drift")
    assert verdict == "beyond" and "PopulationStabilityIndex of distance" in sentence
    assert monitored.verdict("data_quality")[0] == "beyond"  # out of the bounds of what was learnt
    with monitored.world.cloud.blobs() as container:
        for blob in container.list_blob_names(name_starts_with=INFERENCE_LOG):
            container.delete_blob(blob)
    _log(monitored, "model_inputs", datetime.now(UTC), [{"distance": d, "carrier": "UA"} for d in learnt(ROWS)])
    assert not of(monitored.run(), "data_drift", "PopulationStabilityIndex")["distance"].beyond


def test_a_run_without_anything_logged_fails_and_no_signal_passes(monitored: Monitored) -> None:
    monitored.serve()
    monitored.watch()
    assert monitored.run().state == "Failed"
    for signal in BOUNDS:
        assert monitored.verdict(signal)[0] == "run failed"


def test_predictions_are_held_against_those_before_and_against_their_labels(monitored: Monitored) -> None:
    monitored.bounds = {
        "prediction_drift": {"population_stability_index": 0.25},
        "performance": {"root_mean_squared_error": 0.1},
    }
    monitored.serve()
    ids = monitored.ask(learnt(ROWS))
    _log(monitored, "model_outputs", datetime.now(UTC) - timedelta(days=10), [{"probability": 0.99}] * ROWS)
    predicted = monitored.world.logged("model_outputs")
    labels = [monitored_label < 0.5 for monitored_label in (predicted[each]["probability"] for each in ids)]
    truth = pa.table({"prediction_id": ids, "late": labels})
    uri = f"{monitored.world.cloud.lake}/monitoring/flights/ground_truth"
    write_deltalake(uri, truth, storage_options=delta_options())
    monitored.watch()
    found = monitored.run()
    assert of(found, "prediction_drift", "PopulationStabilityIndex")["probability"].value > 1
    off = [float(label) - predicted[each]["probability"] for each, label in zip(ids, labels, strict=True)]
    error = of(found, "performance", "RootMeanSquaredError")[""]
    assert error.value == pytest.approx(np.sqrt(np.mean(np.square(off))), abs=1e-6) and error.threshold == 0.1
    assert monitored.verdict("performance")[0] == "beyond"


def test_a_monitor_follows_what_serves_comes_back_on_and_goes_with_the_endpoint(monitored: Monitored) -> None:
    client = monitored.world.cloud.client()
    monitored.serve()
    monitored.watch()
    monitored.watch()
    client.schedules.begin_disable(MONITOR).result()
    assert monitored.verdict("data_drift")[0] == "not watched"
    monitored.watch()
    monitored.ask(learnt(ROWS))
    monitored.run()
    monitored.watch()
    assert monitored.verdict("data_drift")[0] == "within"
    monitored.serve("2", "green")
    assert monitored.verdict("data_drift")[0] == "not watched"
    monitored.watch("green", "2")
    # What was found of version 1 says nothing of version 2.
    assert monitored.verdict("data_drift")[0] == "no run yet"
    found = client.schedules.get(MONITOR)
    assert found.create_monitor.monitoring_target.endpoint_deployment_id.endswith("/deployments/green")
    assert [each.name for each in client.schedules.list()] == [MONITOR]
    monitored.world.endpoints.delete(NAME)
    assert list(client.schedules.list()) == []


def test_a_product_that_declares_no_monitor_any_more_has_none(monitored: Monitored) -> None:
    monitored.serve()
    monitored.watch()
    monitored.monitors.remove(NAME)
    monitored.monitors.remove(NAME)
    assert not monitored.monitors.read(NAME).on


def test_without_a_datastore_a_monitor_has_nothing_to_read(monitored: Monitored) -> None:
    homeless = AzureMonitors(HOSTING, Lake(monitored.world.cloud.lake), "", "azureml://nowhere")
    with pytest.raises(SettingsError, match="ML_PLATFORM_AZUREML_DATASTORE"):
        homeless.watch(replace(monitored.wanted("blue", "1"), bounds=BOUNDS))


def _log(monitored: Monitored, collection: str, at: datetime, rows: list[dict[str, Any]]) -> None:
    """A line of the log as the server writes it, of an hour."""
    line = {"correlationid": f"other-{at:%H%M%S}", "data": rows}
    path = f"{INFERENCE_LOG}/{NAME}/blue/{collection}/{at:%Y/%m/%d/%H}/other.jsonl"
    with monitored.world.cloud.blobs() as container:
        container.upload_blob(path, json.dumps(line).encode(), overwrite=True)
