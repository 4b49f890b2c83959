"""A small client of the scoring contract, for probes, replays and tests."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from select import POLLIN, poll
from socket import socket
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import msgspec

from ml_platform.errors import EndpointError
from ml_platform.scoring.headers import CLOCK_HEADER, DEPLOYMENT_HEADER, PROBE_HEADER


@dataclass(frozen=True)
class Prediction:
    """The answer to one record; `id` is how the inference log knows it."""

    id: str
    probability: float


@dataclass(frozen=True)
class Scores:
    """The answer to one request: a prediction for each record, in order, and the model that gave them."""

    predictions: tuple[Prediction, ...]
    model_name: str
    model_version: str


class ScoringClient:
    """Sends records to one endpoint, over one kept connection for each thread that asks.

    It is Python's own HTTP client: a replay makes hundreds of thousands of small requests, and urllib3 takes twice the
    time for each, httpx four times. It takes no proxy from the environment, which is not for endpoints of this machine.
    """

    def __init__(self, scoring_uri: str, key: str, timeout: float = 30.0) -> None:
        self._uri = scoring_uri
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._connections = _Connections(urlsplit(scoring_uri), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def score(
        self,
        records: Sequence[Mapping[str, Any]],
        *,
        time: datetime | None = None,
        request_id: str | None = None,
        probe: bool = False,
        deployment: str | None = None,
    ) -> Scores:
        """Score a batch. `time` (aware) is when a replayed request happens; a `probe` is kept out of the log.

        `deployment` pins the request to one. Raises EndpointError with the endpoint's message when it refuses or cannot
        be reached.
        """
        headers = {PROBE_HEADER: "1"} if probe else {}
        if deployment is not None:
            headers[DEPLOYMENT_HEADER] = deployment
        return self._post({"records": records}, time, request_id, headers)

    def score_one(
        self, record: Mapping[str, Any], *, time: datetime | None = None, request_id: str | None = None
    ) -> Scores:
        """Score one record; the rest is as in `score`."""
        return self._post(record, time, request_id, {})

    def _post(
        self, body: Mapping[str, Any], time: datetime | None, request_id: str | None, more: Mapping[str, str]
    ) -> Scores:
        headers = {**self._headers, **more}
        if time is not None:
            headers[CLOCK_HEADER] = time.isoformat()
        if request_id is not None:
            headers["x-request-id"] = request_id
        try:
            status, answer = self._connections.post(msgspec.json.encode(body), headers)
        except (OSError, HTTPException) as error:
            raise EndpointError(f"{self._uri} cannot be reached: {error!r}; is the endpoint deployed?") from error
        if status != HTTPStatus.OK:
            raise EndpointError(f"{self._uri} answered {status}: {answer.decode(errors='replace')[:1000]}")
        return _scores(msgspec.json.decode(answer))


class _Connections:
    """The connections of all threads to one address."""

    def __init__(self, address: SplitResult, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._own = threading.local()
        self._all: list[HTTPConnection] = []

    def post(self, content: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        connection = self._open()
        try:
            connection.request("POST", self._address.path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            connection.close()
            raise

    def close(self) -> None:
        """Close all of them; a request afterwards opens its own again."""
        for connection in self._all:
            connection.close()

    def _open(self) -> HTTPConnection:
        if not hasattr(self._own, "connection"):
            kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
            self._own.connection = kind(self._address.netloc, timeout=self._timeout)
            self._all.append(self._own.connection)
        connection: HTTPConnection = self._own.connection
        # Nothing is due: what can be read is the end that a server sends which leaves. The next request opens another.
        if connection.sock and _readable(connection.sock):
            connection.close()
        return connection


def _readable(connection: socket) -> bool:
    look = poll()
    look.register(connection, POLLIN)
    return bool(look.poll(0))


def _scores(answer: dict[str, Any]) -> Scores:
    """The probability goes by the name that the model's signature gives it: it is what is not the id."""
    predictions = []
    for item in answer["predictions"]:
        (probability,) = (value for name, value in item.items() if name != "id")
        predictions.append(Prediction(item["id"], probability))
    return Scores(tuple(predictions), answer["model"]["name"], answer["model"]["version"])
