"""What a model monitor does: a pipeline job that measures its signals and logs each figure into MLflow.

The figures follow the published components (github.com/Azure/azureml-assets, assets/model_monitoring): an MLflow run
for each figure, found again by its tags, with `value` and `threshold`, of data quality `target_value` and
`baseline_value`. The bins are simpler than theirs. A signal without data fails the job.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from ml_platform_tests.emulators.arm.monitor_data import MonitorData
from ml_platform_tests.emulators.arm.monitor_figures import Figure, drift, errors, quality
from ml_platform_tests.emulators.arm.state import Arm, Resource

THRESHOLDS = "azureml.modelmonitor.model_performance_thresholds"
"""The property in which the SDK sends the bounds of performance; the typed one cannot hold them."""


async def begin(arm: Arm, schedule: Resource, at: datetime) -> Resource:
    """The job of one run of a schedule at a time; it goes on by itself."""
    name = schedule.names[0]
    job = arm.store.put(Resource("jobs", (f"{name}-{at:%Y%m%dT%H%M%S%f}",), _properties(arm, name, at)))
    job.hidden |= {"schedule": name, "task": asyncio.create_task(_run(arm, schedule, job, at))}
    return job


def _properties(arm: Arm, schedule: str, at: datetime) -> dict[str, Any]:
    page = f"https://ml.azure.com/runs/{schedule}?wsid={arm.workspace.id}"
    studio = {"endpoint": page, "jobServiceType": "Studio", "port": None, "status": None, "properties": {}}
    return {
        "jobType": "Pipeline",
        "displayName": f"{schedule}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        "experimentName": schedule,
        "description": None,
        "tags": {},
        "properties": {},
        "isArchived": False,
        "services": {"Studio": studio},
        "status": "Running",
        "inputs": {},
        "jobs": {},
        "outputs": {},
        "settings": {},
    }


async def _run(arm: Arm, schedule: Resource, job: Resource, at: datetime) -> None:
    definition = schedule.properties["action"]["monitorDefinition"]
    try:
        log = FigureLog(arm, schedule.names[0])
        for name, signal in definition["signals"].items():
            for figure in await asyncio.to_thread(lambda s=signal: list(_figures(MonitorData(arm, at), s))):
                await log.write(name, figure, at)
        job.properties["status"] = "Completed"
    except Exception as error:  # what a component raises fails its job, whatever it is
        job.properties |= {"status": "Failed", "description": f"{type(error).__name__}: {error}"[:500]}


def _figures(data: MonitorData, signal: dict[str, Any]) -> Iterator[Figure]:
    """The figures of one signal."""
    if signal["signalType"] == "ModelPerformance":
        [production] = signal["productionData"]
        most = {each["metric"]: each["threshold"]["value"] for each in json.loads(signal["properties"][THRESHOLDS])}
        return errors(data, production, signal["referenceData"], most)
    frames: list[Any] = [data.rows(signal[each]) for each in ("productionData", "referenceData")]
    asked, learnt = frames
    most = {(each["dataType"], each["metric"]): each["threshold"]["value"] for each in signal["metricThresholds"]}
    features = (signal.get("features") or {}).get("features") or sorted(asked.columns.intersection(learnt.columns))
    measure = quality if signal["signalType"] == "DataQuality" else drift
    return measure(asked[features], learnt[features], most)


@dataclass
class FigureLog:
    """The MLflow runs of a monitor's figures: made once, logged into at each run."""

    arm: Arm
    monitor: str

    async def write(self, signal: str, figure: Figure, at: datetime) -> None:
        tags = {"monitor": self.monitor, "signal": signal, "feature": figure.feature, "metric": figure.metric}
        named = {f"azureml.{key}_name": value for key, value in tags.items() if value}
        run = await self._run_of(named)
        now, step = int(datetime.now(UTC).timestamp() * 1000), int(at.timestamp())
        metrics = [{"key": key, "value": v, "timestamp": now, "step": step} for key, v in figure.values.items()]
        await self._ask("POST", "runs/log-batch", {"run_id": run, "metrics": metrics})

    async def _run_of(self, tags: dict[str, str]) -> str:
        experiment = await self._experiment()
        wanted = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        found = await self._ask("POST", "runs/search", {"experiment_ids": [experiment], "filter": wanted})
        if found.get("runs"):
            return found["runs"][0]["info"]["run_id"]
        name = "_".join(re.sub(r"\W", "-", value) for value in tags.values())[:200]
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        body = {"experiment_id": experiment, "run_name": name, "tags": listed}
        return (await self._ask("POST", "runs/create", body))["run"]["info"]["run_id"]

    async def _experiment(self) -> str:
        query = urlencode({"experiment_name": self.monitor})
        found = await self.arm.mlflow.call("GET", "experiments/get-by-name", query)
        if found.is_success:
            return found.json()["experiment"]["experiment_id"]
        return (await self._ask("POST", "experiments/create", {"name": self.monitor}))["experiment_id"]

    async def _ask(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.arm.mlflow.call(method, path, body=json.dumps(body).encode())
        return answer.raise_for_status().json()
