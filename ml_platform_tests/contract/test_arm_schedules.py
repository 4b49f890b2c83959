"""Model monitors on the emulated workspace: schedules, made by the real SDK and held against the published types."""

import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from ml_platform_tests.contract.arm_calls import PLACE, ask
from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.emulators.process import Emulator

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import MonitorSchedule

VERSION = "2023-06-01-preview"


@pytest.fixture
def monitor(client: "MLClient") -> "MonitorSchedule":
    """Drift of what an endpoint was asked, against what its model learnt from."""
    from azure.ai.ml import Input
    from azure.ai.ml.constants import MonitorDatasetContext
    from azure.ai.ml.entities import (
        AlertNotification,
        CronTrigger,
        Data,
        DataDriftMetricThreshold,
        DataDriftSignal,
        MonitorDefinition,
        MonitorSchedule,
        ProductionData,
        ReferenceData,
        ServerlessSparkCompute,
    )
    from azure.ai.ml.entities._monitoring.thresholds import NumericalDriftMetrics

    name = f"monitored-{uuid.uuid4().hex[:8]}"
    for each in ("asked", "learnt"):
        path = f"azureml://datastores/lake/paths/{name}/{each}/"
        client.data.create_or_update(Data(name=f"{name}-{each}", version="1", path=path, type="uri_folder"))
    asked = Input(path=f"azureml:{name}-asked:1", type="uri_folder")
    learnt = Input(path=f"azureml:{name}-learnt:1", type="uri_folder")
    signal = DataDriftSignal(
        production_data=ProductionData(input_data=asked, data_context=MonitorDatasetContext.MODEL_INPUTS),
        reference_data=ReferenceData(input_data=learnt, data_context=MonitorDatasetContext.TRAINING),
        metric_thresholds=DataDriftMetricThreshold(
            numerical=NumericalDriftMetrics(population_stability_index=0.2),
        ),
    )
    compute = ServerlessSparkCompute(instance_type="standard_e4s_v3", runtime_version="3.4")
    definition = MonitorDefinition(
        compute=compute,
        monitoring_signals={"drift": signal},
        alert_notification=AlertNotification(emails=["team@example.com"]),
    )
    return MonitorSchedule(name=name, trigger=CronTrigger(expression="15 3 * * *"), create_monitor=definition)


def test_a_monitor_is_made_listed_and_deleted(
    arm: Emulator, client: "MLClient", monitor: "MonitorSchedule", request: pytest.FixtureRequest
) -> None:
    arm.clear()
    client.schedules.begin_create_or_update(monitor, polling_interval=1).result()
    assert_calls(arm, "create_monitor", request)
    assert monitor.name is not None
    found = client.schedules.get(monitor.name)
    assert found.trigger is not None and found.trigger.expression == "15 3 * * *"  # type: ignore[union-attr]
    assert [each.name for each in client.schedules.list()] == [monitor.name]
    client.schedules.begin_disable(monitor.name, polling_interval=1).result()
    assert list(client.schedules.list()) == []
    client.schedules.begin_delete(monitor.name, polling_interval=1).result()
    assert ask(arm, "GET", f"/schedules/{monitor.name}", version=VERSION).status_code == 404


def test_a_monitor_of_a_deployment_that_is_not_there_is_refused(arm: Emulator) -> None:
    deployment = f"{PLACE.id}/onlineEndpoints/flights/deployments/blue"
    definition: dict[str, Any] = {
        "computeConfiguration": {
            "computeType": "ServerlessSpark",
            "computeIdentity": {"computeIdentityType": "ManagedIdentity"},
            "instanceType": "standard_e4s_v3",
            "runtimeVersion": "3.4",
        },
        "monitoringTarget": {"deploymentId": deployment, "taskType": "Classification"},
        "signals": {},
    }
    trigger = {"triggerType": "Cron", "expression": "15 3 * * *"}
    body = {
        "properties": {"action": {"actionType": "CreateMonitor", "monitorDefinition": definition}, "trigger": trigger}
    }
    answer = ask(arm, "PUT", "/schedules/lost", body, version=VERSION)
    assert answer.status_code == 400
    assert re.search("watches deployment blue of endpoint flights", answer.json()["error"]["message"])
    arm.pardon("watches deployment blue")
