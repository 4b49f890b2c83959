"""Keeps what a worker serves equal to what is declared while requests go on."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from ml_platform.scoring.inference_log import InferenceLog
from ml_platform.scoring.keys import KeyRing, Opener
from ml_platform.scoring.measures import Measures
from ml_platform.scoring.routing import Routes
from ml_platform.scoring.serving import ModelRefused, Serving, load_serving
from ml_platform.scoring.state import (
    DECLARED_FILE,
    KEYS_FILE,
    MEASURES_FOLDER,
    WORKERS_FOLDER,
    Declared,
    Deployment,
    Observed,
    Role,
    fingerprint,
    read_state,
    write_state,
)

POLL_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Host:
    """One worker of an endpoint: its directory, what it serves now, its keys, its inference log and what it counts.

    `routes` is replaced as a whole, on the event loop: a request takes its deployment once and ends with the model that
    it began with. `online` says whether one of them completes what it is asked. As `shadow` it is asked what another
    deployment answers: that is counted, not logged. Once `orphaned`, it follows the declaration and tells nobody what
    it observed and counted.
    """

    def __init__(self, directory: Path, keys: Opener | None = None, log: InferenceLog | None = None) -> None:
        self.routes = Routes({}, {}, {})
        self.online = False
        self.replay_clock = False
        self.most_at_once = 0
        self.most_bytes = 0
        self.reason = "no model has been loaded yet"
        self.shadow = False
        self.orphaned = False
        self.keys = keys or KeyRing(directory / KEYS_FILE)
        self.log = log or InferenceLog()
        self.measures = Measures()
        self.directory = directory
        self._observed = directory / WORKERS_FOLDER / f"{os.getpid()}.json"
        self._counted = directory / MEASURES_FOLDER / f"{os.getpid()}.json"
        self._told = b""
        self._loaded: dict[Deployment, Serving] = {}
        self._loaded_for: tuple[object, ...] = ()
        self._seen: tuple[int, int] | None = None

    async def watch(self) -> None:
        """Follow the declared state and the keys, and write down what was counted, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self.keys.refresh()
                await self.converge()
                self.tell()
            except OSError as error:
                logger.error("the endpoint's directory cannot be followed: %s", error)

    async def converge(self) -> None:
        """Load what is declared beside what is served, take over what passes its check, and say what does not."""
        path = self.directory / DECLARED_FILE
        seen = fingerprint(path)
        if seen == self._seen:
            return
        try:
            declared = read_state(path, Declared)
        except ValueError as error:
            logger.error("the declaration is ignored: %s", error)
            declared = None
        if declared is not None:
            refused = await self._load(declared)
            self._write(self._observed, Observed(declared.generation, os.getpid(), refused=refused))
        # Last: what could not be told is taken up again at the next look.
        self._seen = seen

    def tell(self) -> None:
        """Write down what was counted, if there is something new."""
        self.measures.dropped_rows = self.log.dropped_rows
        if (content := msgspec.json.encode(self.measures)) != self._told:
            self._write(self._counted, self.measures)
            self._told = content

    async def _load(self, declared: Declared) -> dict[str, str]:
        """Serve what is declared; the reasons why some of it cannot be served, by its name.

        Where a deployment cannot be replaced, the one before of its name is served on.
        """
        refused: dict[str, str] = {}
        endpoint = declared.endpoint
        if (needs := _needs(declared)) != self._loaded_for:
            self._loaded, self._loaded_for = {}, needs
        ready: dict[str, Serving] = {}
        for deployment in endpoint.deployments:
            try:
                serving = self._loaded.get(deployment) or await asyncio.to_thread(load_serving, declared, deployment)
            except ModelRefused as error:
                refused[deployment.name] = str(error)
                logger.error("generation %d: %s", declared.generation, error)
                if (before := self.routes.ready.get(deployment.name)) and self._loaded:
                    ready[deployment.name] = before
            else:
                ready[deployment.name] = serving
        self._loaded = {serving.deployment: serving for serving in ready.values()}
        self.routes = Routes(ready, endpoint.traffic, endpoint.mirror)
        self.online = any(serving.online for serving in ready.values())
        self.replay_clock, self.most_at_once = endpoint.replay_clock, endpoint.max_concurrent_requests
        self.most_bytes = endpoint.max_worker_mib * 2**20
        self.reason = "; ".join(refused.values())
        self._take(declared.role)
        logger.info("generation %d: %s with traffic %s", declared.generation, list(ready), endpoint.traffic)
        return refused

    def _take(self, role: Role) -> None:
        """What was answered before the role was known is logged or not by the role that it turns out to be."""
        self.shadow = role == "shadow"
        if self.shadow and self.log.held:
            self.log.forget()
        self.log.held = role == "unknown"

    def _write(self, path: Path, state: msgspec.Struct) -> None:
        if not self.orphaned:
            # Made each time: a host that takes over removes what the workers before it have told.
            path.parent.mkdir(exist_ok=True)
            write_state(path, state)


def _needs(declared: Declared) -> tuple[object, ...]:
    """What a loaded deployment depends on beside itself."""
    endpoint = declared.endpoint
    return declared.inference_log, endpoint.name, endpoint.primary_key, endpoint.event_time, endpoint.online
