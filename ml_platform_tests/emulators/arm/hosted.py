"""Runs the instances of a deployment: processes with the container's command, started again when they end."""

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from ml_platform_tests.emulators.arm.answers import Refused
from ml_platform_tests.emulators.arm.programs import Program
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.containers import COMMAND, container_environment
from ml_platform_tests.ports import free_port

LOOK_SECONDS = 0.1
DRAIN_SECONDS = 15.0
NETWORK = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""By which a container reaches the loopback cloud; credentials it has none but its managed identity."""


@dataclass
class Instance:
    """A container, and how many requests it has not answered yet."""

    port: int
    program: Program
    ready: bool = False
    leaving: bool = False
    underway: int = 0


@dataclass
class Settings:
    """What a deployment's body says about running it."""

    count: int
    environment: dict[str, str]
    log: Path
    liveness: str
    readiness: str
    scoring: str
    ready_within: float
    timeout: float
    most_at_once: int

    def of(self, count: int) -> "Settings":
        """The same with so many instances."""
        return replace(self, count=count, most_at_once=self.most_at_once // self.count * count)


@dataclass
class Hosted:
    """The instances of one deployment: those that answer, and the settings that they run with."""

    arm: Arm
    instances: list[Instance] = field(default_factory=list)
    settings: Settings | None = None
    _keeper: "asyncio.Task[None] | None" = None

    @property
    def answering(self) -> list[Instance]:
        return [each for each in self.instances if each.ready and not each.leaving and each.program.running]

    async def replace(self, settings: Settings) -> None:
        """Start new instances beside the old ones, and end those once all new ones are ready; raises Refused."""
        new = [await self._start(settings) for _ in range(settings.count)]
        try:
            await asyncio.gather(*(self._await_ready(each, settings) for each in new))
        except Refused:
            await asyncio.gather(*(each.program.end(1.0) for each in new))
            raise
        old, self.instances, self.settings = self.instances, new, settings
        await self._end(old)
        self._keeper = self._keeper or asyncio.create_task(self._keep())

    async def scale(self, count: int) -> None:
        """Start instances beside those that answer, or end the last ones, until there are so many."""
        assert self.settings
        self.settings = settings = self.settings.of(count)
        new = [await self._start(settings) for _ in range(count - len(self.instances))]
        await asyncio.gather(*(self._await_ready(each, settings) for each in new))
        left, self.instances = self.instances[count:], [*self.instances[:count], *new]
        await self._end(left)

    async def end(self) -> None:
        """End all instances."""
        if self._keeper:
            self._keeper.cancel()
        old, self.instances, self._keeper = self.instances, [], None
        await self._end(old)

    async def _end(self, instances: list[Instance]) -> None:
        for each in instances:
            each.leaving = True
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while any(each.underway for each in instances) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.gather(*(each.program.end(DRAIN_SECONDS) for each in instances))

    async def _start(self, settings: Settings) -> Instance:
        port = free_port()
        environment = container_environment(settings.environment, port)
        return Instance(port, await self.arm.programs.start(COMMAND, environment, settings.log.parent, settings.log))

    async def _await_ready(self, instance: Instance, settings: Settings) -> None:
        deadline = asyncio.get_running_loop().time() + settings.ready_within
        while not await self._is_ready(instance, settings):
            if not instance.program.running:
                message = "User container has crashed or terminated. Please see troubleshooting guide, available here: "
                raise Refused(400, "UserContainerCrashed", f"{message}https://aka.ms/oe-tsg#error-resourcenotready")
            if asyncio.get_running_loop().time() > deadline:
                raise Refused(400, "ResourceNotReady", "The readiness probe of the user container has failed.")
            await asyncio.sleep(LOOK_SECONDS)
        instance.ready = True

    async def _is_ready(self, instance: Instance, settings: Settings) -> bool:
        try:
            url, within = f"http://127.0.0.1:{instance.port}{settings.readiness}", aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession(timeout=within) as client, client.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _keep(self) -> None:
        while self.settings:
            for place, each in enumerate(self.instances):
                if not each.program.running and not each.leaving:
                    self.instances[place] = started = await self._start(self.settings)
                    await self._await_ready(started, self.settings)
            await asyncio.sleep(LOOK_SECONDS)


def settings_of(
    arm: Arm, deployment: Resource, environment: Resource, model: Path, name: str, identity: dict[str, str]
) -> Settings:
    """What a deployment's body asks for, with the service's defaults."""
    properties, routes = deployment.properties, environment.properties["inferenceConfig"]
    requests, readiness = properties.get("requestSettings") or {}, properties.get("readinessProbe") or {}
    count = deployment.extra["sku"]["capacity"]
    network = {each: os.environ[each] for each in NETWORK if each in os.environ}
    most = requests.get("maxConcurrentRequestsPerInstance") or 1
    return Settings(
        count=count,
        environment={
            **network,
            **identity,
            **(properties.get("environmentVariables") or {}),
            "AZUREML_MODEL_DIR": str(model),
        },
        log=arm.folder / "deployments" / name / "inference-server.log",
        liveness=routes["livenessRoute"]["path"],
        readiness=routes["readinessRoute"]["path"],
        scoring=routes["scoringRoute"]["path"],
        ready_within=seconds(readiness.get("initialDelay"), 10)
        + seconds(readiness.get("period"), 10) * (readiness.get("failureThreshold") or 30),
        timeout=seconds(requests.get("requestTimeout"), 5),
        most_at_once=2 * most * count,
    )


_DURATION = re.compile(r"PT?(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?")


def seconds(duration: str | None, default: float) -> float:
    """Seconds of an ISO 8601 duration such as PT1M10S."""
    found = _DURATION.fullmatch(duration or "")
    if not duration or not found:
        return default
    hours, minutes, rest = (float(each or 0) for each in found.groups())
    return hours * 3600 + minutes * 60 + rest


Find = Callable[[str, str], Hosted | None]
