"""Runs what the workspace is sent: a job's command, a deployment's container, as processes of this machine."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


def own_environment() -> dict[str, str]:
    """This process's environment without what only the emulator may know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EMULATOR_")}


@dataclass
class Program:
    """A process that leads its own group; its output, both streams, stands in `log`."""

    process: asyncio.subprocess.Process
    log: Path

    async def wait(self) -> int:
        """Its exit code; negative is the signal that ended it."""
        return await self.process.wait()

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def end(self, seconds: float = 10.0) -> None:
        """SIGTERM to the group, after `seconds` SIGKILL: as the service cancels and preempts."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), seconds)
        self._signal(signal.SIGKILL)  # also what the leader left behind
        await self.process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


@dataclass
class Programs:
    """All programs that run for the workspace; none outlives the emulator."""

    running: list[Program] = field(default_factory=list)

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Program:
        """Start in `folder` with exactly `environment`: the caller says what of this process's own goes in."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                env=dict(environment),
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(process, log)
        self.running = [each for each in self.running if each.running] + [program]
        return program

    async def end(self) -> None:
        await asyncio.gather(*(each.end(2.0) for each in self.running if each.running))
