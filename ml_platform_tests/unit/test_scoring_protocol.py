"""What one connection to the scoring server does with requests that come whole, in parts, together or last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from ml_platform.scoring.bodies import WHOLE
from ml_platform.scoring.protocol import Answer, Reply, Whole
from ml_platform.scoring.worker import STACK
from ml_platform_tests.ports import free_port


class Echo:
    """Answers with the body and with how it was asked: /later after a turn of the event loop, /task never whole."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        whole = b" whole" if WHOLE in scope else b" in parts"
        body, message = b"", await receive()
        while message["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
            message = await receive()
        told = b"task" + whole + b": " + body
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
        await send({"type": "http.response.body", "body": told})

    def answer_whole(self, whole: Whole, reply: Reply) -> bool:
        if whole.target == b"/task":
            return False
        told = b"taskless: " + whole.body
        answer = Answer(200, [(b"content-length", b"%d" % len(told))], told)
        if whole.target == b"/later":
            asyncio.get_running_loop().call_soon(reply, answer)
        else:
            reply(answer)
        return True


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[list[bytes], bytes]:
        """Head and body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        [length] = [int(line.partition(b":")[2]) for line in head if line.startswith(b"content-length")]
        return head, await self.reader.readexactly(length)

    async def said(self) -> bytes:
        return (await self.answer())[1]


@asynccontextmanager
async def connected(keep_alive: int = 5) -> AsyncIterator[Caller]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(Echo(), port=port, lifespan="off", timeout_keep_alive=keep_alive, **STACK)  # type: ignore[arg-type]
    )
    # Without its handlers of signals, which belong to pytest.
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield Caller(reader, writer)
    finally:
        writer.close()
        server.should_exit = True
        await running


def post(target: str, body: bytes, more: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nhost: here\r\n%scontent-length: %d\r\n\r\n" % (target.encode(), more, len(body))
    return head + body


@pytest.mark.parametrize("target", ["/now", "/later"])
def test_a_request_that_has_come_whole_needs_no_task(target: str):
    async def talk() -> None:
        async with connected() as caller:
            for body in (b"one", b"", b"two"):
                caller.writer.write(post(target, body))
                assert await caller.said() == b"taskless: " + body

    asyncio.run(talk())


def test_a_body_in_chunks_that_come_together_is_whole():
    async def talk() -> None:
        async with connected() as caller:
            head = b"POST /now HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
            caller.writer.write(head + b"3\r\none\r\n" + b"1\r\n,\r\n" * 1000 + b"0\r\n\r\n")
            assert await caller.said() == b"taskless: one" + b"," * 1000

    asyncio.run(talk())


def test_one_that_comes_in_parts_is_asked_as_usual_and_the_next_is_not():
    async def talk() -> None:
        async with connected() as caller:
            request = post("/now", b"in two parts")
            caller.writer.write(request[:-5])
            await caller.writer.drain()
            # The answer to another connection tells that the first part has been read.
            async with connected_again(caller) as other:
                other.writer.write(post("/now", b"other"))
                assert await other.said() == b"taskless: other"
            caller.writer.write(request[-5:])
            assert await caller.said() == b"task in parts: in two parts"
            caller.writer.write(post("/now", b"whole"))
            assert await caller.said() == b"taskless: whole"

    asyncio.run(talk())


@asynccontextmanager
async def connected_again(caller: Caller) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(*caller.writer.get_extra_info("peername"))
    yield Caller(reader, writer)
    writer.close()


def test_an_application_may_leave_a_whole_request_to_its_task():
    async def talk() -> None:
        async with connected() as caller:
            caller.writer.write(post("/task", b"mine", b"x-name: value\r\n"))
            assert await caller.said() == b"task whole: mine"

    asyncio.run(talk())


@pytest.mark.parametrize(
    "targets", [("/now", "/now", "/now"), ("/later", "/now", "/task"), ("/task", "/later", "/now")]
)
def test_requests_that_come_together_are_answered_in_their_order(targets: tuple[str, ...]):
    async def talk() -> None:
        async with connected() as caller:
            caller.writer.write(b"".join(post(target, b"%d" % place) for place, target in enumerate(targets)))
            said = [await caller.said() for _ in targets]
            assert [each.rpartition(b": ")[2] for each in said] == [b"0", b"1", b"2"]

    asyncio.run(talk())


@pytest.mark.parametrize("target", ["/later", "/now", "/task"])
def test_the_connection_ends_after_the_answer_when_the_caller_says_so(target: str):
    async def talk() -> None:
        async with connected() as caller:
            caller.writer.write(post(target, b"last", b"connection: close\r\n"))
            head, body = await caller.answer()
            assert body.endswith(b": last")
            assert b"connection: close" in head
            assert await caller.reader.read() == b""

    asyncio.run(talk())


def test_a_caller_that_asks_whether_it_may_send_is_told_to_go_on():
    async def talk() -> None:
        async with connected() as caller:
            request = post("/now", b"body", b"expect: 100-continue\r\n")
            caller.writer.write(request[:-4])
            assert b"100 Continue" in await caller.reader.readuntil(b"\r\n\r\n")
            caller.writer.write(request[-4:])
            assert await caller.said() == b"task in parts: body"

    asyncio.run(talk())


@pytest.mark.parametrize("before", [b"", post("/now", b"whole"), post("/later", b"whole")])
def test_what_is_no_http_ends_the_connection(before: bytes):
    async def talk() -> None:
        async with connected() as caller:
            caller.writer.write(before + b"NO HTTP\r\n\r\n")
            said = await caller.reader.read()
            assert said.startswith(b"HTTP/1.1 400")
            assert said.count(b"HTTP/1.1") == 1

    asyncio.run(talk())


@pytest.mark.parametrize("target", ["/now", "/task"])
def test_a_connection_that_nobody_uses_is_closed(target: str):
    async def talk() -> None:
        async with connected(keep_alive=1) as caller:
            caller.writer.write(post(target, b"only"))
            await caller.said()
            assert await caller.reader.read() == b""

    asyncio.run(talk())


def test_a_connection_that_is_used_is_not_closed():
    async def talk() -> None:
        async with connected(keep_alive=1) as caller:
            loop = asyncio.get_running_loop()
            end = loop.time() + 1.5
            while loop.time() < end:
                caller.writer.write(post("/now", b"again"))
                assert await caller.said() == b"taskless: again"

    asyncio.run(talk())
