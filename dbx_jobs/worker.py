"""Runs programs one after the other in a process that keeps Spark and imports: python -m ... DESCRIPTOR [early].

The descriptor is a socket to the owner, who sends an order at a time (see `_listen`) and gets {"exit_code": n} for it.
"""

import json
import os
import runpy
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from dagster_pipes import PipesContext

from dbx_jobs.runtime import keep_spark, on_a_cluster, spark_session

INTERRUPTED = 130


class Order(NamedTuple):
    """A module to run as a program, with this environment and these descriptors as its stdout and stderr."""

    module: str
    environment: dict[str, str]
    streams: list[int]


def main(descriptor: int, early: bool) -> None:
    """Serve the owner until it is gone, or until it interrupts a program."""
    keep_spark()
    owner, orders = socket.socket(fileno=descriptor), SimpleQueue[Order]()
    Thread(target=_listen, args=(owner, orders), daemon=True).start()
    if early:
        _warm_up()
    exit_code = 0
    while exit_code != INTERRUPTED:
        try:
            exit_code = _run(orders.get())
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
        owner.sendall(b"%s\n" % json.dumps({"exit_code": exit_code}).encode())
    # Spark may still be busy with what was interrupted: there is no waiting for its threads.
    os._exit(INTERRUPTED)


def _warm_up() -> None:
    """Import and start, while nothing is asked for yet, what takes seconds."""
    if not on_a_cluster():
        with spark_session():
            import great_expectations  # noqa: F401


def _listen(owner: socket.socket, orders: "SimpleQueue[Order]") -> None:
    """Queue what the owner asks: the length of the JSON of an order in a line, with the streams, then the JSON."""
    while True:
        head, streams, _, _ = socket.recv_fds(owner, 4096, 2)
        length, _, text = head.partition(b"\n")
        while length and len(text) < int(length):
            text += owner.recv(int(length) - len(text)) or _left_alone()
        orders.put(Order(**json.loads(text or _left_alone()), streams=streams))


def _left_alone() -> bytes:
    """The owner is gone: whatever runs here ends with it."""
    os._exit(0)


def _run(order: Order) -> int:
    with _streams(*order.streams):
        _become(order.environment)
        try:
            # As `python -m` would: modules that it imports stay, its own code runs anew.
            runpy.run_module(order.module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            return _exit_code(ended.code)
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            PipesContext.set(None)  # pyright: ignore[reportArgumentType]  # there is no other way to open the next one
    return 0


@contextmanager
def _streams(*given: int) -> Iterator[None]:
    """Let stdout and stderr, also those of native code, go to the descriptors `given`, which are closed in the end."""
    own = [os.dup(target) for target in (1, 2)]
    _redirect(given)
    try:
        yield
    finally:
        _redirect(own)


def _redirect(descriptors: "tuple[int, ...] | list[int]") -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for source, target in zip(descriptors, (1, 2), strict=True):
        os.dup2(source, target)
        os.close(source)


def _become(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main(int(sys.argv[1]), early="early" in sys.argv[2:])
