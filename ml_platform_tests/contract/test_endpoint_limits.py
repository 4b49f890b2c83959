"""What callers that misbehave, and processes that are killed, do to the others: nothing."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import msgspec
import psutil
import pytest

from ml_platform.gateways.endpoints import Keys, ScoringClient
from ml_platform.scoring.bodies import MAX_BODY_BYTES
from ml_platform.scoring.state import KEYS_FILE, LOCK_FILE, exclusive, write_state
from ml_platform_tests.contract.local_world import NAME, World, eventually
from ml_platform_tests.serving_directories import RECORD

BODY = json.dumps(RECORD).encode()
CALLER_SECONDS = 10.0


@dataclass
class Seen:
    """What callers that go on asking have seen; `longest` is the time (seconds) that one of them had no answer."""

    statuses: list[int] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)
    refused: list[Exception] = field(default_factory=list)
    longest: float = 0.0


class Wire:
    """The address and the keys of a deployed endpoint, without the client's own courtesy."""

    def __init__(self, world: World, **more: int) -> None:
        self.world = world
        world.endpoints.deploy(msgspec.structs.replace(world.declaration("1"), **more))
        found = re.search(r":(\d+)/", world.endpoints.scoring_uri(NAME))
        assert found
        self.address = ("127.0.0.1", int(found[1]))
        self.keys = world.endpoints.keys(NAME)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, CALLER_SECONDS)

    def head(self, **headers: object) -> bytes:
        """The head of a POST to /score with a good key."""
        lines = {"host": "x", "content-type": "application/json", "authorization": f"Bearer {self.keys.primary}"}
        lines |= {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return "\r\n".join(["POST /score HTTP/1.1", *(f"{n}: {v}" for n, v in lines.items()), "", ""]).encode()

    def ask(self, count: int = 1) -> None:
        """Each of so many new callers is answered."""
        for _ in range(count):
            with ScoringClient(self.world.endpoints.scoring_uri(NAME), self.keys.primary, CALLER_SECONDS) as client:
                assert client.score_one(RECORD).model_version == "1"

    def status(self, headers: Mapping[str, str]) -> int:
        connection = http.client.HTTPConnection(*self.address, timeout=CALLER_SECONDS)
        try:
            connection.request("POST", "/score", BODY, {"content-type": "application/json", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    @contextmanager
    def callers(self, count: int, key: Callable[[], str] | None = None) -> Iterator[Seen]:
        """Callers that ask without a pause as long as the block lasts, each over a connection that it opens anew when
        that breaks."""
        seen, stop = Seen(), threading.Event()
        with ThreadPoolExecutor(count) as pool:
            asking = [pool.submit(self._ask_on, seen, stop, key or (lambda: self.keys.primary)) for _ in range(count)]
            try:
                yield seen
            finally:
                stop.set()
            for each in asking:
                each.result()

    def _ask_on(self, seen: Seen, stop: threading.Event, key: Callable[[], str]) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=CALLER_SECONDS)
        last = time.monotonic()
        while not stop.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError as error:
                seen.refused.append(error)
                continue
            headers = {"content-type": "application/json", "authorization": f"Bearer {key()}"}
            try:
                connection.request("POST", "/score", BODY, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                seen.broken.append(error)
                connection.close()
            else:
                seen.statuses.append(answer.status)
                seen.longest, last = max(seen.longest, time.monotonic() - last), time.monotonic()
        connection.close()


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the answer that comes on a connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def more_answers(seen: Seen, count: int = 100) -> Callable[[], bool]:
    """Whether so many more have been answered since this was called."""
    before = len(seen.statuses)
    return lambda: len(seen.statuses) >= before + count


def test_a_thousand_idle_connections_and_a_hundred_slow_bodies_leave_the_others_answered(world: World) -> None:
    wire = Wire(world, max_concurrent_requests=4)
    with ExitStack() as held:
        for _ in range(1000):
            held.enter_context(wire.connect())
        slow = [held.enter_context(wire.connect()) for _ in range(100)]
        for number, connection in enumerate(slow):
            # Half of them never begin.
            connection.sendall(wire.head(content_length=len(BODY)) + BODY[: 10 * (number % 2)])
        wire.ask(50)
        slow[0].sendall(BODY)
        slow[1].sendall(BODY[10:])
        assert [answer_on(each)[0] for each in slow[:2]] == [200, 200]


@pytest.mark.parametrize("begun", [b"GET /", b"GET / HTTP/1.1\r\nx: "])
def test_half_a_head_and_one_without_end_leave_the_others_answered(world: World, begun: bytes) -> None:
    wire = Wire(world)
    (worker,) = world.workers()
    with wire.connect() as half, wire.connect() as endless:
        half.sendall(wire.head()[:20])
        endless.sendall(begun)
        before = worker.memory_info().rss
        with pytest.raises(OSError):
            for _ in range(256):
                endless.sendall(b"x" * 2**20)
        wire.ask(5)
        assert worker.memory_info().rss - before < 32 * 2**20


@pytest.mark.parametrize("size", [1 << 20, 700, 33], ids=["at once", "in pieces", "in crumbs"])
def test_requests_sent_without_waiting_are_answered_in_turn_in_whatever_pieces_they_come(
    world: World, size: int
) -> None:
    wire = Wire(world)
    alive = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    scores = [wire.head(content_length=len(body)) + body for body in (BODY, b"{}", BODY)]
    last = wire.head(content_length=len(BODY), connection="close") + BODY
    sent = b"".join([*scores[:2], alive, scores[2], last])
    with wire.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for start in range(0, len(sent), size):
            connection.sendall(sent[start : start + size])
        answered = connection.makefile("rb").read()
    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answered)]
    assert statuses == [200, 422, 200, 200, 200]
    assert answered.count(b"connection: close") == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_others_answered(world: World, chunked: bool) -> None:
    wire = Wire(world)
    with wire.connect() as connection:
        if chunked:
            connection.sendall(wire.head(transfer_encoding="chunked"))
            # It is not said how much is still to come.
            part = b"%x\r\n%s\r\n" % (2**16, b" " * 2**16)
            for _ in range(MAX_BODY_BYTES // 2**16 + 1):
                connection.sendall(part)
        else:
            connection.sendall(wire.head(content_length=2**40) + b" " * (MAX_BODY_BYTES + 1))
        status, body = answer_on(connection)
    assert (status, "larger than" in json.loads(body)["message"]) == (413, True)
    wire.ask()


def test_wrong_and_missing_keys_open_nothing_while_either_good_one_opens(world: World) -> None:
    wire = Wire(world)
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {wire.keys.primary}"}):
        assert wire.status(wrong) == 401
    for good in (wire.keys.primary, wire.keys.secondary):
        assert wire.status({"authorization": f"Bearer {good}"}) == 200


def test_while_keys_rotate_no_request_with_a_valid_key_fails_and_the_old_ones_are_shut_out(world: World) -> None:
    wire = Wire(world, workers=2)
    first = wire.keys
    in_use = [first.secondary]
    with wire.callers(2, lambda: in_use[0]) as seen:
        # Each key in its turn, once its callers have gone over to the other one.
        for keys in (Keys("new-primary", first.secondary), Keys("new-primary", "new-secondary")):
            write_state(world.directory / KEYS_FILE, keys)
            for _ in range(2):
                # One of the workers may still have the old ones.
                eventually(lambda: all(wire.status({"authorization": "Bearer new-primary"}) == 200 for _ in range(20)))
            in_use[0] = "new-primary"
            eventually(more_answers(seen))
    assert (set(seen.statuses), seen.broken, seen.refused) == ({200}, [], [])
    for key, status in ((first.primary, 401), (first.secondary, 401), ("new-primary", 200), ("new-secondary", 200)):
        eventually(lambda key=key, status=status: wire.status({"authorization": f"Bearer {key}"}) == status)


def test_beyond_the_declared_number_requests_are_told_to_come_back_and_the_rest_answered(world: World) -> None:
    wire = Wire(world, max_concurrent_requests=1)
    connections = 16
    with ExitStack() as held:
        asking = [held.enter_context(wire.connect()) for _ in range(connections)]
        request, statuses, heads = wire.head(content_length=len(BODY)) + BODY, set[int](), list[str]()

        def some_were_sent_away() -> bool:
            for each in asking:
                each.sendall(request)
            for each in asking:
                response = http.client.HTTPResponse(each)
                response.begin()
                response.read()
                statuses.add(response.status)
                if response.status == 429:
                    heads.append(response.headers["retry-after"])
            return statuses >= {200, 429}

        eventually(some_were_sent_away)
    assert (statuses, set(heads)) == ({200, 429}, {"1"})
    wire.ask()


def test_a_killed_worker_breaks_only_its_own_connections_and_is_started_again(world: World) -> None:
    wire = Wire(world, workers=2)
    pids = {each.pid for each in world.workers()}
    with wire.callers(4) as seen:
        eventually(more_answers(seen))
        killed = world.workers()[0]
        killed.kill()
        eventually(more_answers(seen))
        eventually(lambda: len(living := {each.pid for each in world.workers()} - {killed.pid}) == 2 and living != pids)
        eventually(more_answers(seen))
    assert (set(seen.statuses), seen.refused) == ({200}, [])
    # No caller has more than the one connection that may have been the killed worker's.
    assert len(seen.broken) <= 4


def test_an_endpoint_that_is_deleted_when_its_host_was_just_killed_does_not_come_back(world: World) -> None:
    world.endpoints.deploy(world.declaration("1"))
    processes = [psutil.Process(world.pid()), *world.workers()]
    processes[0].kill()
    world.endpoints.delete(NAME)
    _, alive = psutil.wait_procs(processes, 10)
    assert not alive
    eventually(lambda: not world.hosts())


def test_a_killed_host_comes_back_by_itself_with_its_port_and_keys_and_refuses_no_caller(world: World) -> None:
    wire = Wire(world, workers=2)
    host, workers = world.pid(), world.workers()
    with wire.callers(2) as seen:
        eventually(more_answers(seen))
        os.kill(host, signal.SIGKILL)
        # As long as no other host comes, the workers of the killed one answer.
        with exclusive(world.directory / LOCK_FILE, seconds=5):
            eventually(lambda: (world.directory / "host.log").read_text().count("has died") == 2)
            eventually(more_answers(seen, 200))
        eventually(lambda: not any(each.is_running() for each in workers))
        eventually(lambda: len(world.hosts()) == 1 and world.hosts() == [world.pid()] and len(world.workers()) == 2)
        eventually(more_answers(seen))
    assert (set(seen.statuses), seen.refused) == ({200}, [])
    assert seen.longest < 5
    assert (Wire(world, workers=2).address, world.endpoints.keys(NAME)) == (wire.address, wire.keys)
    assert world.hosts() == [world.pid()]


def test_a_worker_that_takes_too_much_memory_is_replaced_and_requests_go_on(world: World) -> None:
    wire = Wire(world)
    (worker,) = world.workers()
    wire = Wire(world, max_worker_mib=worker.memory_info().rss // 2**20 + 48)
    with wire.callers(2) as seen:
        eventually(more_answers(seen))
        with ExitStack() as held:
            for _ in range(48):
                # Bodies on their way are what a caller can make a worker keep.
                slow = held.enter_context(wire.connect())
                with suppress(OSError):  # it has enough of them already
                    slow.sendall(wire.head(content_length=MAX_BODY_BYTES) + b" " * (MAX_BODY_BYTES - 1))
            eventually(lambda: "makes room for another" in (world.directory / "host.log").read_text())
        eventually(lambda: not worker.is_running())
        eventually(more_answers(seen))
    assert (set(seen.statuses), seen.refused) == ({200}, [])
    assert len(seen.broken) <= 2
