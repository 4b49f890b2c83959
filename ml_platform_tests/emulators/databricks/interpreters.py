"""The processes of tasks, which one warm process forks (`forked.py`)."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

LINE = 1 << 20


@dataclass
class Interpreter:
    """One process, which leads a group of its own; `code` once it has ended, negative for a signal."""

    pid: int
    ended: "asyncio.Future[int]"

    async def wait(self) -> int:
        """How it ended."""
        return await asyncio.shield(self.ended)

    @property
    def code(self) -> int:
        return self.ended.result() if self.ended.done() else 0

    def kill(self) -> None:
        """End it and what it has started."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


@dataclass
class Interpreters:
    """Starts them; the warm process starts with the first."""

    _told: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)
    _ended: dict[int, "asyncio.Future[int]"] = field(default_factory=dict)
    _ids: count = field(default_factory=count)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _server: asyncio.subprocess.Process | None = None

    async def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        log: Path,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> Interpreter:
        """Start a task in `folder` with exactly these variables; its output is appended to `log`.

        `secrets` are those that its program may ask its runtime for.
        """
        server, number, loop = await self.warm(), next(self._ids), asyncio.get_running_loop()
        told, ended = loop.create_future(), loop.create_future()
        self._told[number], self._ended[number] = told, ended
        asked = {"id": number, "arguments": list(arguments), "folder": str(folder), "log": str(log)}
        asked |= {"environment": dict(variables), "secrets": dict(secrets)}
        assert server.stdin
        server.stdin.write(json.dumps(asked).encode() + b"\n")
        return Interpreter(await told, ended)

    async def warm(self) -> asyncio.subprocess.Process:
        """The warm process."""
        async with self._starting:
            if self._server is None:
                script = Path(__file__).with_name("forked.py")
                kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
                self._server = await asyncio.create_subprocess_exec(
                    *(sys.executable, str(script)),
                    env=kept | {"PYTHONDONTWRITEBYTECODE": "1"},
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=LINE,
                )
                self._listening = asyncio.create_task(self._listen(self._server))
        return self._server

    async def _listen(self, server: asyncio.subprocess.Process) -> None:
        assert server.stdout
        while line := await server.stdout.readline():
            said = json.loads(line)
            if "process" in said:
                self._told.pop(said["id"]).set_result(said["process"])
            else:
                self._ended.pop(said["id"]).set_result(said["code"])
