"""Keeps the served model equal to the declared one while requests go on."""

import asyncio
import logging
from pathlib import Path

from ml_platform.scoring.inference_log import InferenceLog
from ml_platform.scoring.keys import KeyRing
from ml_platform.scoring.serving import ModelRefused, Serving, load_serving
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    OBSERVED_FILE,
    Declared,
    Observed,
    fingerprint,
    read_state,
    write_state,
)

POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Host:
    """One endpoint: its directory, what it serves now, its keys and its inference log.

    `serving` is replaced as a whole, on the event loop: a request takes it once and ends with the model it began with.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.serving: Serving | None = None
        self.reason = "no model has been loaded yet"
        self.keys = KeyRing(directory / KEYS_FILE)
        self.log = InferenceLog()
        self._directory = directory
        self._port = port
        self._seen: tuple[int, int] | None = None

    async def start(self) -> None:
        """Serve what is declared; if that is refused, what was served when the process last ended."""
        before = read_state(self._directory / OBSERVED_FILE, Observed)
        if before is not None and before.serving is not None:
            await self._load(before.serving)
        await self.converge()

    async def watch(self) -> None:
        """Follow the declared state and the keys until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self.keys.refresh()
                await self.converge()
            except OSError as error:
                logger.error("the declaration cannot be followed: %s", error)

    async def converge(self) -> None:
        """Load what is declared beside what is served, swap when it passes its check, and write down the outcome."""
        path = self._directory / DECLARED_FILE
        seen = fingerprint(path)
        if seen == self._seen:
            return
        self._seen = seen
        declared = self._read_declared(path)
        if declared is None:
            return
        await self._load(declared)
        self._observe(declared.generation)

    async def _load(self, declared: Declared) -> None:
        try:
            self.serving = await asyncio.to_thread(load_serving, declared)
        except ModelRefused as error:
            self.reason = str(error)
            logger.error("generation %d refused: %s", declared.generation, error)
        else:
            self.reason = ""
            logger.info("generation %d served: %s", declared.generation, declared.endpoint.deployment)

    def _read_declared(self, path: Path) -> Declared | None:
        try:
            return read_state(path, Declared)
        except ValueError as error:
            logger.error("the declaration is ignored: %s", error)
            return None

    def _observe(self, generation: int) -> None:
        observed = Observed(
            generation=generation,
            status="refused" if self.reason else "serving",
            port=self._port,
            serving=self.serving.declared if self.serving else None,
            reason=self.reason,
        )
        write_state(self._directory / OBSERVED_FILE, observed)
