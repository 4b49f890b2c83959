"""Loads a server with `wrk` (Will Glozer) and reads what it saw."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

REPORT = """
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.stderr:write(string.format('{"rate":%f,"p50":%f,"p99":%f,"requests":%d,"failed":%d}',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.requests, failed))
end
"""
"""wrk's own text rounds to three digits; durations come in microseconds."""


@dataclass(frozen=True)
class Request:
    """A POST that is sent over and over."""

    uri: str
    body: bytes
    headers: Mapping[str, str]


class Load(msgspec.Struct, frozen=True):
    """What wrk saw: requests a second, latencies in milliseconds, answers, those that were no success or never came."""

    rate: float
    p50: float
    p99: float
    requests: int
    failed: int


def require_wrk() -> None:
    """Raise SystemExit when the load generator is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk, which makes the load, is not installed: apt-get install wrk")


def load(request: Request, connections: int, seconds: int) -> Load:
    """Send the request over so many connections, each waiting for its answer before it sends the next."""
    with TemporaryDirectory() as scratch:
        script = Path(scratch) / "post.lua"
        script.write_text(_script(request))
        # A slow answer is no failed one: the percentiles tell of it.
        pace = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
        command = ["wrk", *pace, "-s", str(script), request.uri]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    return msgspec.json.decode(told.stderr, type=Load)


def _script(request: Request) -> str:
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in request.headers.items())
    return f'wrk.method = "POST"\nwrk.body = [==[{request.body.decode()}]==]\n{headers}{REPORT}'
