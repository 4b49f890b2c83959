"""A service on the loopback that takes alerts as JSON, or refuses them for as long as a test wants."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What was taken, as `title` and `message`; `refuses` decides on each title."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        self.refuses = lambda title: False
        self.url = ""

    @property
    def titles(self) -> list[str]:
        return [alert["title"] for alert in self.taken]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that listens at `url`, with a user and a password that it demands."""
    receives = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receives.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            right = self.headers["Content-Type"] == "application/json" and self.headers["Authorization"] == KEY
            code = 400 if not right else 500 if receives.refuses(body["title"]) else 200
            if code == 200:
                receives.taken.append(body)
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receives.url = f"json://ada:hunter2@127.0.0.1:{server.server_port}/alerts/opensesame"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receives
        finally:
            server.shutdown()
            thread.join()


KEY = "Basic YWRhOmh1bnRlcjI="
