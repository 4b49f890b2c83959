"""What a place that watches served models by itself must be able to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ml_platform.core.azureml_monitor import Bounds, Watched
from ml_platform.core.product_monitors import SignalName


@dataclass(frozen=True)
class Reference:
    """What the model has learnt from: days of a version of a Delta table, and the column with the label."""

    table: str
    version: int
    first: str
    last: str
    label: str


@dataclass(frozen=True)
class Watch:
    """What is to be watched: the deployment of an endpoint that answers callers, its inputs and their bounds.

    `truth` is the Delta table with the labels of predictions, `output` the field of the log that holds a prediction,
    `days` how many of them are looked at together, `runs` a cron expression in UTC.
    """

    endpoint: str
    deployment: str
    model_version: str
    features: tuple[str, ...]
    output: str
    reference: Reference
    truth: str
    bounds: Mapping[SignalName, Bounds]
    days: int
    runs: str
    machine: str


class Monitors(Protocol):
    """Keeps the monitors of endpoints as they are declared, and reads what they found."""

    @property
    def absent(self) -> str:
        """Why nothing watches by itself here; "" where something does."""
        ...

    def watch(self, wanted: Watch) -> str:
        """Make the monitor of the endpoint what is wanted, again and again the same; the address of its page."""
        ...

    def remove(self, endpoint: str) -> None:
        """Let nothing watch the endpoint; there may be no monitor."""
        ...

    def read(self, endpoint: str) -> Watched:
        """The endpoint's monitor and its last run that ended."""
        ...
