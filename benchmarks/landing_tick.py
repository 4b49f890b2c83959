"""A tick of the landing sensor over 10,000 files, against listing and statting the same files, in the same run."""

import os
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from ml_platform.components.declared import declared_product
from ml_platform.gateways.lake import Lake
from ml_platform.stages import landing

DAYS, FILES_A_DAY = 360, 28
SENSOR = "landing_flight_delays_flights"
ROUNDS = 5


def main() -> None:
    """Print the best of a few rounds: seconds of a tick, and its ratio to the listing alone."""
    with TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        lake = Lake(Path(folder).as_uri())
        root = Path(folder, "landing", "flights")
        _fill(root)
        sensor = next(s for s in landing.build(declared_product("flight_delays")) if s.name == SENSOR)
        tick, listing = (
            min(_tick(sensor, instance, lake) for _ in range(ROUNDS)),
            min(_list(root) for _ in range(ROUNDS)),
        )
    print(
        f"{DAYS * FILES_A_DAY} files in {DAYS} days: a tick {tick:.2f} s, {tick / listing:.1f} times the listing alone"
    )


def _fill(root: Path) -> None:
    first = declared_product("flight_delays").start
    for n in range(DAYS):
        day = root / (first + timedelta(days=n)).isoformat()
        day.mkdir(parents=True)
        for part in range(FILES_A_DAY):
            (day / f"{part}.csv").touch()


def _tick(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, lake: Lake) -> float:
    started = time.perf_counter()
    with dg.build_sensor_context(instance, resources={"lake": lake}) as context:
        assert sensor.evaluate_tick(context).run_requests
    return time.perf_counter() - started


def _list(root: Path) -> float:
    started = time.perf_counter()
    assert sum(len([Path(d, f).stat() for f in files]) for d, _, files in os.walk(root)) == DAYS * FILES_A_DAY
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
