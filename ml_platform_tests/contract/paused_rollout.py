"""Rolls a world's champion out and stops at a place, to be killed there: python -m ... FOLDER PLACE WHERE."""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from ml_platform.errors import RolledBack
from ml_platform.gateways.registry import Registry
from ml_platform_tests.contract.cloud_rollouts import There
from ml_platform_tests.contract.rollouts import NAME, Here, World


def pause(*_: Any) -> None:
    """Say that the place is reached and stay there."""
    print("reached", flush=True)
    signal.pause()


def main() -> None:
    """PLACE is what a sentence of the roll-out begins with, or `recording`, `going back` or `alias`.

    WHERE is `here`, or `there` in a cloud.
    """
    folder, place = Path(sys.argv[1]), sys.argv[2]
    world = World(folder, There() if sys.argv[3] == "there" else Here(folder))
    rollout = world.rollout()
    rollout.tell = lambda sentence: pause() if sentence.startswith(place) else None
    if place == "recording":
        Registry.record_rollout = pause  # pyright: ignore
    if place == "going back":
        Registry.roll_back = pause  # pyright: ignore
    if place == "alias":
        MlflowClient.set_registered_model_alias = pause  # pyright: ignore
    champion = world.registry.champion(NAME)
    assert champion
    with suppress(RolledBack):
        rollout.run(NAME, champion.version)


if __name__ == "__main__":
    main()
