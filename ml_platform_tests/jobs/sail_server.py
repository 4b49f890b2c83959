"""Sail as a Spark Connect server in a process of its own: `python -m ml_platform_tests.jobs.sail_server`."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sail_server(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Start it with this environment; the address for SPARK_REMOTE. It ends with the block."""
    command = [sys.executable, "-m", __name__]
    with log.open("w") as file:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": file}
        process = subprocess.Popen(command, env=dict(environment), text=True, **pipes)
    try:
        assert process.stdout and process.stdin
        address = process.stdout.readline().strip()
        assert address, f"Sail did not start: {log.read_text()[-2000:]}"
        yield address
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until standard input ends."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    assert (address := server.listening_address)  # known once it is started
    host, port = address
    print(f"sc://{host}:{port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
