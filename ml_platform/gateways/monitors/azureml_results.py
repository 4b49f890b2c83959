"""Where Azure ML keeps what its monitors measure: the one place that knows it, unverified against live Azure.

Known from documents and from the published components of the monitors (github.com/Azure/azureml-assets,
assets/model_monitoring), not from a workspace:

- the jobs of a schedule are listed by `scheduleId`, and their display names begin with the schedule's name;
- each figure is an MLflow run in the experiment of those jobs, one for all times, tagged with monitor, signal, metric
  and feature; a monitor's run logs into it `value` and `threshold`, data quality `target_value` and `baseline_value`;
- the monitor's name in the tags is the schedule's, the signal's is its key in the definition;
- the page of a monitor in the studio.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from ml_platform.core.azureml_monitor import Measured, MonitorRun
from ml_platform.settings import STUDIO
from ml_platform.training.mlflow_store import mlflow_client

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

DATA_VERSION = "1"
"""Of the data assets of collections: a folder stays the same folder."""
ENDED = frozenset({"Completed", "Failed", "Canceled"})
NEWEST = 50
"""Jobs that are looked at, newest first as the service lists them."""
MONITOR, SIGNAL, METRIC, FEATURE = (f"azureml.{each}_name" for each in ("monitor", "signal", "metric", "feature"))
"""The tags of a figure's run."""
VALUES = ("value", "target_value", "baseline_value")
"""Of data quality the published code has both under the other's name: the larger counts, so that no fault is missed."""
THRESHOLD = "threshold"


def page(workspace: str, name: str) -> str:
    """Where a person sees a monitor."""
    return f"{STUDIO}/monitoring/{name}?wsid={workspace}"


def last_run(client: "MLClient", tracking_uri: str, name: str, since: datetime) -> MonitorRun | None:
    """The newest run of the monitor `name` that began after `since` and has ended; None before the first.

    It has figures if it completed.
    """
    listed = islice(client.jobs.list(schedule_defined=True, scheduled_job_name=name), NEWEST)
    mine = [job for job in listed if job and str(job.display_name).startswith(name) and _began(job) >= since]
    newest = max((job for job in mine if _state(job) in ENDED), key=_began, default=None)
    if newest is None:
        return None
    state, began = _state(newest), _began(newest)
    experiment = str(newest.experiment_name)
    measured = tuple(_figures(tracking_uri, experiment, name, began)) if state == "Completed" else ()
    return MonitorRun(str(newest.name), state, began, str(newest.studio_url or ""), measured)


def _figures(tracking_uri: str, experiment: str, name: str, since: datetime) -> Iterator[Measured]:
    """What was logged since the run began: an older figure is of a feature that is not measured any more."""
    client = mlflow_client(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    token: str | None = ""
    while found and token is not None:
        runs = client.search_runs([found.experiment_id], f"tags.{MONITOR} = '{name}'", page_token=token or None)
        for run in runs:
            # The entity tells no time of a metric in public, and a call for each figure would be hundreds.
            metrics = {each.key: each for each in run.data._metric_objs}
            if figure := figure_of(run.data.tags, metrics, since):
                yield figure
        token = runs.token or None


def figure_of(tags: Mapping[str, str], metrics: Mapping[str, Any], since: datetime) -> Measured | None:
    """What a figure's run tells, `metrics` being its newest by key; None for one without a bound or of a run before."""
    now = {key: m.value for key, m in metrics.items() if m.timestamp >= since.timestamp() * 1000}
    values = [now[key] for key in VALUES if key in now]
    if THRESHOLD not in now or not values or now[THRESHOLD] != now[THRESHOLD]:
        return None
    # One that is no number is no number in all.
    value = max(values) if all(each == each for each in values) else float("nan")
    return Measured(tags.get(SIGNAL, ""), tags.get(METRIC, ""), tags.get(FEATURE, ""), value, now[THRESHOLD])


def _state(job: Any) -> str:
    return str(getattr(job.status, "value", job.status))


def _began(job: Any) -> datetime:
    record = job.creation_context
    return record.created_at.astimezone(UTC) if record and record.created_at else datetime.min.replace(tzinfo=UTC)
