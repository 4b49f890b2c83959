"""Ties a container to the lake: it takes its role from there and leaves there what it counted."""

import logging
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from ml_platform.scoring.container_contract import ROLES_FILE, Roles, Told, told_file
from ml_platform.scoring.folders import Folder
from ml_platform.scoring.measures import measured
from ml_platform.scoring.state import (
    DECLARED_FILE,
    OBSERVED_FILE,
    Declared,
    Deployment,
    Observed,
    Role,
    read_state,
    write_state,
)

BEAT_SECONDS = 1.0
CHANGE_SECONDS = 0.1
"""Between two looks while the workers take over another role: somebody waits for it."""

logger = logging.getLogger(__name__)


class LakeLink:
    """A thread that looks every BEAT_SECONDS at least.

    `refused` says why the model is not served; `give_up` is called then. A generation of
    roles is followed once every worker follows it.
    """

    def __init__(self, directory: Path, folder: Folder, deployment: Deployment, give_up: Callable[[], None]) -> None:
        self.refused = ""
        self._directory, self._folder, self._deployment, self._give_up = directory, folder, deployment, give_up
        self._file = told_file(deployment.name, uuid.uuid4().hex)
        self._roles: Roles | None = None
        self._followed = -1
        self._beat = 0
        self._trouble = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lake-link", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Leave what was counted last."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._look()
            following = self._roles and self._followed < self._roles.generation and not self._trouble
            self._closing.wait(CHANGE_SECONDS if following else BEAT_SECONDS)
        self._look()

    def _look(self) -> None:
        try:
            self._follow()
            self._observe()
            self._tell()
            self._say("")
        except (OSError, ValueError) as error:
            # Requests are answered meanwhile, their log waits.
            self._say(str(error))

    def _follow(self) -> None:
        content = self._folder.read(ROLES_FILE)
        # Whoever deploys without the gateway mirrors nothing.
        roles = msgspec.json.decode(content, type=Roles) if content else Roles(0, (self._deployment.name,))
        path = self._directory / DECLARED_FILE
        declared = read_state(path, Declared)
        role: Role = "serving" if self._deployment.name in roles.serving else "shadow"
        if declared and declared.role != role:
            logger.info("the deployment's role is %s", role)
            write_state(path, msgspec.structs.replace(declared, generation=declared.generation + 1, role=role))
        self._roles = roles

    def _observe(self) -> None:
        declared = read_state(self._directory / DECLARED_FILE, Declared)
        observed = read_state(self._directory / OBSERVED_FILE, Observed)
        if not declared or not observed or observed.pid != os.getpid() or not self._roles:
            return
        if observed.refused:
            self.refused = "; ".join(observed.refused.values())
            self._give_up()
        elif observed.generation == declared.generation:
            self._followed = self._roles.generation

    def _tell(self) -> None:
        self._beat += 1
        told = Told(self._followed, self._deployment.counted_as, self._beat, measured(self._directory))
        self._folder.write(self._file, msgspec.json.encode(told))

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.error("lake: %s", trouble or "it answers again")
        self._trouble = trouble
