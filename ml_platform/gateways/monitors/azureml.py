"""Azure ML's monitor of an endpoint: a schedule of the workspace that measures on serverless Spark."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ml_platform.core.azureml_monitor import Watched
from ml_platform.errors import MonitorError, SettingsError
from ml_platform.gateways.endpoints.azureml_deployment import Hosting
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.monitors import azureml_results as results
from ml_platform.gateways.monitors.azureml_definition import DataPaths, definition
from ml_platform.gateways.monitors.protocol import Watch
from ml_platform.gateways.workspace import workspace_client

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Schedule

VERSION, SINCE = "model_version", "watched_since"
"""Tags of a schedule: the model version that it watches, and since when."""


class AzureMonitors:
    """The monitors of the endpoints on `hosting`; `datastore` is that of the workspace whose container is the lake.

    The service is the memory: a schedule has the name of its endpoint, so that it is found, changed and removed by it.
    """

    absent = ""

    def __init__(self, hosting: Hosting, lake: Lake, datastore: str, tracking_uri: str) -> None:
        self._hosting, self._lake, self._datastore, self._tracking = hosting, lake, datastore, tracking_uri

    @cached_property
    def _client(self) -> "MLClient":
        # The SDK greets with notes about preview classes.
        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        return workspace_client(self._hosting.workspace)

    def watch(self, wanted: Watch) -> str:
        """See Monitors.watch. Writes the documents by which the monitor reads Delta tables into the lake."""
        from azure.ai.ml.entities import CronTrigger, Data, MonitorSchedule

        paths = self._paths()
        for path, text in paths.documents(wanted).items():
            self._lake.write_text(path, text)
        endpoint, name = self._hosting.endpoint_name(wanted.endpoint), self._hosting.monitor_name(wanted.endpoint)
        with self._told(name):
            for collection in paths.collections(wanted):
                data = Data(
                    name=paths.asset(endpoint, wanted, collection),
                    version=results.DATA_VERSION,
                    type="uri_folder",
                    path=paths.logged(wanted, collection),
                    description="Written by the scoring server in the layout of Azure ML's data collector.",
                )
                self._client.data.create_or_update(data)
            schedule = MonitorSchedule(
                name=name,
                trigger=CronTrigger(expression=wanted.runs, time_zone="UTC"),
                create_monitor=definition(wanted, endpoint, paths),
                tags=self._tags(name, wanted),
            )
            # Also one that somebody switched off is on again.
            schedule._is_enabled = True
            self._client.schedules.begin_create_or_update(schedule).result()
        return results.page(self._hosting.workspace, name)

    def remove(self, endpoint: str) -> None:
        """See Monitors.remove."""
        from azure.core.exceptions import ResourceNotFoundError

        name = self._hosting.monitor_name(endpoint)
        with self._told(name):
            try:
                self._client.schedules.begin_delete(name).wait()
            except ResourceNotFoundError:
                return

    def read(self, endpoint: str) -> Watched:
        """See Monitors.read."""
        name = self._hosting.monitor_name(endpoint)
        page = results.page(self._hosting.workspace, name)
        with self._told(name):
            schedule = self._schedule(name)
            tags = dict(schedule.tags or {}) if schedule else {}
            if schedule is None or SINCE not in tags:
                return Watched(page, on=False)
            run = results.last_run(self._client, self._tracking, name, datetime.fromisoformat(tags[SINCE]))
            return Watched(page, bool(schedule._is_enabled), tags[VERSION], run)

    def _schedule(self, name: str) -> "Schedule | None":
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self._client.schedules.get(name)
        except ResourceNotFoundError:
            return None

    def _tags(self, name: str, wanted: Watch) -> dict[str, str]:
        """What is watched, and since when: what was found of another model says nothing of this one."""
        about = {"deployment": wanted.deployment, VERSION: wanted.model_version}
        present = self._schedule(name)
        before = dict(present.tags or {}) if present else {}
        if SINCE in before and before.items() >= about.items():
            return before
        return {**about, SINCE: datetime.now(UTC).isoformat(timespec="seconds")}

    def _paths(self) -> DataPaths:
        if not self._datastore:
            raise SettingsError(
                "ML_PLATFORM_AZUREML_DATASTORE is empty: name the datastore of the workspace whose container is the "
                "lake, where its monitors find what was logged"
            )
        return DataPaths(self._hosting.workspace, self._datastore, self._lake.uri)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        from azure.ai.ml.exceptions import MlException
        from azure.core.exceptions import AzureError, HttpResponseError
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (AzureError, MlException, MlflowException) as error:
            refused = isinstance(error, HttpResponseError) and error.status_code in (401, 403)
            role = f"give this identity the role AzureML Data Scientist on {self._hosting.workspace}"
            raise MonitorError(
                f"Azure ML's monitor {name}: {str(error)[:500]}; {role if refused else 'run it again'}"
            ) from error
