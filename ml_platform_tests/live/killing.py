"""Kills daemon, run workers and jobs at random moments, in the same order for the same seed."""

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import psutil

from ml_platform_tests.live.deployment import Deployment, jobs_of

Kind = Literal["daemon", "worker", "job"]

LONGEST_WAIT = 4.0
"""Seconds between two kills, and at most those that a process lives on after it was chosen."""

PATIENCE = 40.0
"""Seconds to wait for a worker or a job before the daemon is killed instead; a killer may have less."""


class Killer:
    """SIGKILLs processes of one deployment; `told` says which, and what they were doing."""

    def __init__(
        self,
        deployed: Deployment,
        seed: int,
        kinds: Sequence[Kind] = ("daemon", "worker", "job"),
        patience: float = PATIENCE,
    ) -> None:
        self._deployed, self._kinds, self._patience = deployed, kinds, patience
        self._random = random.Random(seed)
        self.told: list[str] = []

    def kill(self, times: int) -> None:
        """Kill so many processes, one after the other."""
        for _ in range(times):
            kind = self._random.choice(self._kinds)
            wait = self._random.uniform(0, LONGEST_WAIT)
            deadline = time.monotonic() + self._patience
            while not self._killed(kind if time.monotonic() < deadline else "daemon", wait):
                time.sleep(0.05)

    def _killed(self, kind: Kind, wait: float) -> bool:
        chosen = self._choose(kind)
        if chosen is None:
            return False
        process, doing = chosen
        with suppress(psutil.TimeoutExpired):
            # Its moment is a random one: let it work on, unless it ends by itself.
            process.wait(wait)
            return False
        with suppress(psutil.NoSuchProcess):
            process.kill()
            self.told.append(f"{kind}: {doing}")
            return True
        return False

    def _choose(self, kind: Kind) -> tuple[psutil.Process, str] | None:
        if kind == "daemon":
            with suppress(AssertionError, OSError):
                return self._deployed.service("daemon"), f"{len(self._deployed.workers())} runs going"
            return None
        found = self._deployed.workers()
        if kind == "job":
            found = [job for worker in found for job in jobs_of(worker)]
        if not found:
            return None
        process = self._random.choice(found)
        with suppress(psutil.NoSuchProcess):
            return process, process.cmdline()[2] if kind == "job" else "a run"
        return None
