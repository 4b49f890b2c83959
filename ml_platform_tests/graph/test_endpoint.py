"""The endpoint's asset rolls the champion out, says how it ended, and a sensor keeps it as it must be."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import psutil
import pytest
from mlflow import MlflowClient

from ml_platform.components.declared import declared_product
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.endpoints import Autoscale, LocalEndpoints, ScoringClient
from ml_platform.gateways.registry import Registry, initialise
from ml_platform.scoring.state import LOCK_FILE
from ml_platform.stages.run_alerts import alerts_of
from ml_platform_tests.contract.rollouts import QUICK, make_champion
from ml_platform_tests.graph.conftest import Graph
from ml_platform_tests.graph.ticks import Ticks
from ml_platform_tests.serving_directories import RECORD, write_serving_directory

PRODUCT, ENDPOINT, SENSOR = "flight_delays", "endpoints/flight_delays", "endpoint_flight_delays"
CHAMPION = dg.AssetKey(["models", "flight_delays", "champion"])
STEP = "endpoints__flight_delays"


def quick(**more: Any) -> ProductSpec:
    product = declared_product(PRODUCT)
    rollout = QUICK.model_copy(update=more)
    return product.model_copy(update={"endpoint": product.endpoint.model_copy(update={"rollout": rollout})})


class Served(Graph):
    """The graph with a registry in which a test makes champions, and the endpoint that serves them."""

    def __init__(self, instance: dg.DagsterInstance, home: Path, product: ProductSpec, **instead: Any) -> None:
        super().__init__(instance, home, product, **instead)
        uri = self.settings.mlflow_tracking_uri
        initialise(uri, "training", home / "models", self.settings.mlflow_artifact_uri)
        self.client = MlflowClient(uri)
        self.registry = Registry(self.client, home / "models")
        self.endpoints = LocalEndpoints(home / "endpoints", f"{self.settings.lake_uri}/modelDataCollector")

    def champion(self, bias: float = -1.0) -> str:
        folder = self.settings.home / f"model-{datetime.now(UTC).timestamp()}"
        version = make_champion(self.client, self.registry, PRODUCT, write_serving_directory(folder, bias))
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(CHAMPION, metadata={"version": version}, tags={"dagster/data_version": version})
        )
        return version

    def said(self, key: dg.AssetKey) -> dict[str, Any]:
        event = self.instance.get_latest_materialization_event(key)
        assert event and event.asset_materialization
        return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}

    def answering(self) -> str:
        with ScoringClient(self.endpoints.scoring_uri(PRODUCT), self.endpoints.keys(PRODUCT).primary) as client:
            return client.score_one(RECORD).model_version

    def declare(self, **changes: Any) -> None:
        state = self.endpoints.state(PRODUCT)
        assert state
        self.endpoints.deploy(msgspec.structs.replace(state.declared, **changes))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield lambda **more: Served(instance, tmp_path, quick(**more))
    LocalEndpoints(tmp_path / "endpoints", "").delete(PRODUCT)


def test_champions_are_served_one_after_the_other_and_the_asset_says_what_was_seen(served: Callable[..., Served]):
    graph = served()
    graph.champion()
    assert graph.materialise(ENDPOINT).success
    graph.champion(-0.9)
    assert graph.materialise(ENDPOINT).success
    said = graph.said(dg.AssetKey.from_user_string(ENDPOINT))
    assert (said["version"], said["rollout"], said["status"]) == ("2", "served", "serving")
    assert said["deployments"] == {"blue": "version 1", "green": "version 2"}
    assert "shadow: " in said["seen"]
    assert graph.answering() == "2"


def test_a_version_that_goes_back_fails_its_run_and_nobody_brings_it_again(served: Callable[..., Served]):
    graph = served()
    graph.champion()
    graph.materialise(ENDPOINT)
    version = graph.champion(-0.9)
    (graph.registry.serving_directory(PRODUCT, version) / "model.onnx").write_bytes(b"torn")
    result = graph.materialise(ENDPOINT)
    assert "version 2 of flight_delays was rolled back, version 1 serves" in graph.error(result)
    assert graph.said(CHAMPION)["version"] == "1"
    assert graph.answering() == "1"
    assert Ticks(graph).conditions() == {}
    assert graph.materialise(ENDPOINT).success


def test_a_roll_out_that_waits_tells_a_person_and_goes_on_with_their_word(served: Callable[..., Served]):
    graph = served(approval="manual")
    graph.champion()
    graph.materialise(ENDPOINT)
    graph.champion(-0.9)
    result = graph.materialise(ENDPOINT)
    assert graph.said(dg.AssetKey.from_user_string(ENDPOINT))["rollout"] == "waiting"
    record = graph.instance.get_run_record_by_id(result.run_id)
    assert record
    (alert,) = alerts_of(graph.instance, record, "http://dagster.example")
    assert (alert.kind, "ml-platform approve flight_delays" in alert.what) == ("approval", True)
    assert graph.answering() == "1"
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    graph.client.set_model_version_tag(PRODUCT, "1", "rollout_at", long_ago)
    assert Ticks(graph).sensor(SENSOR) == []
    again = graph.instance.get_run_record_by_id(graph.materialise(ENDPOINT).run_id)
    assert again
    assert [told.key for told in alerts_of(graph.instance, again, "http://dagster.example")] == [alert.key]
    word = {"approve_version": "1", "approved_by": "ada"}
    assert "name the champion '2'" in graph.error(graph.materialise(ENDPOINT, config={STEP: {"config": word}}))
    word["approve_version"] = "2"
    assert graph.materialise(ENDPOINT, config={STEP: {"config": word}}).success
    assert graph.answering() == "2"


def test_the_sensor_asks_for_what_is_left_to_do_and_for_nothing_else(served: Callable[..., Served]):
    graph = served()
    ticks = Ticks(graph)
    assert ticks.sensor(SENSOR) == []
    graph.champion()
    graph.materialise(ENDPOINT)
    graph.champion(-0.9)
    graph.materialise(ENDPOINT)
    assert ticks.sensor(SENSOR) == []
    graph.declare(traffic={"blue": 10, "green": 90})
    assert "half done" in asked(ticks)
    graph.materialise(ENDPOINT)
    assert ticks.sensor(SENSOR) == []
    graph.declare(autoscale=Autoscale(1, 3))
    assert "not scaled as is declared" in asked(ticks)
    graph.materialise(ENDPOINT)
    assert ticks.sensor(SENSOR) == []
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    graph.client.set_model_version_tag(PRODUCT, "2", "rollout_at", long_ago)
    assert "old deployment is over" in asked(ticks)
    graph.materialise(ENDPOINT)
    assert graph.said(dg.AssetKey.from_user_string(ENDPOINT))["deployments"] == {"green": "version 2"}
    assert ticks.sensor(SENSOR) == []
    host = psutil.Process(int((graph.settings.home / "endpoints" / PRODUCT / LOCK_FILE).read_text()))
    for process in (*host.children(), host):
        process.kill()
    psutil.wait_procs([host], 5)
    assert "does not answer" in asked(ticks)
    graph.materialise(ENDPOINT)
    assert graph.answering() == "2"


def test_a_change_of_the_declared_endpoint_is_applied_and_its_policy_waits_for_the_next_roll_out(
    served: Callable[..., Served], tmp_path: Path
):
    graph = served()
    graph.champion()
    graph.materialise(ENDPOINT)
    assert Ticks(graph).conditions() == {}
    product = quick(approval="manual")
    assert Ticks(Served(graph.instance, tmp_path, product)).conditions() == {}
    endpoint = product.endpoint.model_copy(update={"max_concurrent_requests": 7})
    changed = Ticks(Served(graph.instance, tmp_path, product.model_copy(update={"endpoint": endpoint})))
    changed.make(changed.conditions())
    state = graph.endpoints.state(PRODUCT)
    assert state and state.declared.max_concurrent_requests == 7
    assert changed.conditions() == {}
    online = product.features.online
    assert online
    features = product.features.model_copy(update={"online": online.model_copy(update={"ttl_minutes": 7.0})})
    looked_up = product.model_copy(update={"endpoint": endpoint, "features": features})
    assert ENDPOINT in Ticks(Served(graph.instance, tmp_path, looked_up)).conditions()


def asked(ticks: Ticks) -> str:
    (request,) = ticks.sensor(SENSOR)
    (again,) = ticks.sensor(SENSOR)
    assert request.run_key == again.run_key
    return request.tags["ml_platform/reason"]
