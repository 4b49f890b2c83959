"""Ticks of the product's real sensors and conditions, evaluated by Dagster, against the graph of a test."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from ml_platform_tests.graph.conftest import Graph

Asked = dict[str, list[str]]
"""By asset: the partitions asked for, sorted."""


class Ticks:
    """Evaluates the conditions tick by tick, as the daemon does, with the cursor that the last tick left."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.cursor = None

    def conditions(self) -> Asked:
        """What one tick of all conditions asks for."""
        result = dg.evaluate_automation_conditions(self.graph.definitions, self.graph.instance, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {r.key.to_user_string(): result.get_requested_partitions(r.key) for r in result.results}
        return {key: sorted(p or "" for p in partitions) for key, partitions in asked.items() if partitions}

    def make(self, asked: Mapping[str, list[str]]) -> None:
        """Materialise what a tick asked for."""
        for key, partitions in asked.items():
            days = [p for p in partitions if p]
            self.graph.materialise(key, *((days[0], days[-1]) if days else ()))

    def sensor(self, name: str) -> list[dg.RunRequest]:
        """What one tick of a sensor asks for."""
        sensor = self.graph.definitions.resolve_sensor_def(name)
        resources = self._resources(sensor.required_resource_keys)
        with dg.build_sensor_context(
            self.graph.instance, definitions=self.graph.definitions, resources=resources
        ) as context:
            return list(sensor.evaluate_tick(context).run_requests or [])

    def schedule(self, name: str, at: datetime) -> list[dg.RunRequest]:
        """What a schedule asks for at its time."""
        schedule = self.graph.definitions.resolve_schedule_def(name)
        resources = self._resources(schedule.required_resource_keys)
        with dg.build_schedule_context(self.graph.instance, at, resources=resources) as context:
            return list(schedule.evaluate_tick(context).run_requests or [])

    def _resources(self, wanted: set[str]) -> dict[str, Any]:
        known = self.graph.definitions.get_repository_def().get_top_level_resources()
        return {name: known[name] for name in wanted}


def range_of(request: dg.RunRequest) -> tuple[str, str]:
    """The days that a run request computes."""
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def drop(graph: Graph, source: str, day: str, content: str = "a", at: float = 1.0) -> None:
    """Land a file of a source; `at` is the time of its change."""
    folder = Path(graph.settings.home, "lake", "landing", source, day)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{source}.csv"
    file.write_text(content)
    os.utime(file, (at, at))
