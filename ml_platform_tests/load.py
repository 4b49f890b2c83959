"""Asks an endpoint over and over, at a steady rate: python -m ml_platform_tests.load URI KEY RATE FILE, until SIGTERM.

Every request has an id of its own and exactly one outcome, which FILE tells at the end. RATE 0 is as fast as answers
come. Once it asks it says so on standard output: only from then on does a SIGTERM end it well. It has no retries: a
request whose connection ends before its answer is lost.
"""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from ml_platform_tests.serving_directories import RECORD

CONNECTIONS = 16
_VERSION = re.compile(rb'"version":"(\d+)"\}\}$')


class Seen(msgspec.Struct):
    """Answers of one model version: how many, and when (time.monotonic) the first and the last came."""

    count: int
    first: float
    last: float


class Outcomes(msgspec.Struct):
    """What became of all requests: answered by version, refused or failed by status, or lost without an answer."""

    versions: dict[str, Seen] = {}
    failed: dict[int, int] = {}
    lost: int = 0
    slowest: float = 0.0

    @property
    def answers(self) -> int:
        """Requests that were answered with a prediction."""
        return sum(seen.count for seen in self.versions.values())


class Caller(asyncio.Protocol):
    """One connection that asks, waits for the answer, and asks again when it is due."""

    def __init__(self, load: "Load", number: int) -> None:
        self._load, self._number, self._asked = load, number, 0
        self._waiting, self._due, self._body = False, time.monotonic(), b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        self._transport, self._parser = transport, httptools.HttpResponseParser(self)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._waiting = False
        self._load.answered(self._parser.get_status_code(), self._body, time.monotonic() - self._sent)
        if self._load.ending:
            self._transport.close()
            return
        self._due += self._load.pause
        asyncio.get_running_loop().call_later(max(0.0, self._due - time.monotonic()), self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._load.outcomes.lost += 1
        self._load.ended(self)

    def _ask(self) -> None:
        if self._transport.is_closing() or self._load.ending:
            self._transport.close()
            return
        self._asked += 1
        self._waiting, self._body, self._sent = True, b"", time.monotonic()
        # Each connection at another place: what is asked at any one time is spread like the whole.
        body = BODIES[(self._asked * 7 + self._number * 5) % len(BODIES)]
        own = b"content-length: %d\r\nx-request-id: %d-%d\r\n\r\n" % (len(body), self._number, self._asked)
        self._transport.write(self._load.head + own + body)


BODIES = [msgspec.json.encode(RECORD | {"distance": n / 4}) for n in range(-40, 41)]
"""Predictions of them spread from 0 to 1."""


class Load:
    """All connections and what became of their requests."""

    def __init__(self, uri: str, key: str, rate: float) -> None:
        self.address = urlsplit(uri)
        self.pause = CONNECTIONS / rate if rate else 0.0
        self.outcomes, self.ending = Outcomes(), False
        self._open = 0
        self._connections = 0
        self._idle = asyncio.Event()
        lines = [f"POST {self.address.path} HTTP/1.1", f"host: {self.address.netloc}", f"authorization: Bearer {key}"]
        lines += ["content-type: application/json", ""]
        self.head = "\r\n".join(lines).encode()

    async def run(self) -> None:
        """Ask until SIGTERM, and wait for the answers that are due."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        for _ in range(CONNECTIONS):
            await self._connect()
        print("asking", flush=True)
        await self._idle.wait()

    def answered(self, status: int, body: bytes, seconds: float) -> None:
        """Note an answer."""
        now, found = time.monotonic(), _VERSION.search(body)
        self.outcomes.slowest = max(self.outcomes.slowest, seconds)
        if status != 200 or not found:
            self.outcomes.failed[status] = self.outcomes.failed.get(status, 0) + 1
            return
        seen = self.outcomes.versions.setdefault(found[1].decode(), Seen(0, now, now))
        seen.count, seen.last = seen.count + 1, now

    def ended(self, caller: Caller) -> None:
        """A connection has ended: another takes its place."""
        self._open -= 1
        if not self.ending:
            self._again = asyncio.ensure_future(self._connect())
        elif not self._open:
            self._idle.set()

    async def _connect(self) -> None:
        self._open += 1
        self._connections += 1
        number = self._connections
        deadline = time.monotonic() + 10
        while True:
            try:
                place = (self.address.hostname or "", self.address.port or 0)
                await asyncio.get_running_loop().create_connection(lambda: Caller(self, number), *place)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)

    def _end(self) -> None:
        self.ending = True


if __name__ == "__main__":
    _, uri, key, rate, file = sys.argv
    load = Load(uri, key, float(rate))
    uvloop.run(load.run())
    Path(file).write_bytes(msgspec.json.encode(load.outcomes))
