"""A small client of the scoring contract, for probes, replays and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
import urllib3

from ml_platform.errors import EndpointError
from ml_platform.scoring.headers import CLOCK_HEADER, PROBE_HEADER


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


CONNECTIONS = 4
"""Kept open for threads that ask at the same time."""


class ScoringClient:
    """Sends records to one endpoint over kept connections; several threads may share it."""

    def __init__(self, scoring_uri: str, key: str, timeout: float = 30.0) -> None:
        self._uri = scoring_uri
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        # urllib3 itself takes no proxy from the environment, which is not for the endpoints of this machine.
        self._http = urllib3.PoolManager(timeout=timeout, maxsize=CONNECTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def score(
        self,
        records: Sequence[Mapping[str, Any]],
        *,
        time: datetime | None = None,
        request_id: str | None = None,
        probe: bool = False,
    ) -> Scores:
        """Score a batch. `time` (aware) is when a replayed request happens; a `probe` is kept out of the log.

        Raises EndpointError with the endpoint's message when it refuses or cannot be reached.
        """
        return self._post({"records": records}, time, request_id, probe)

    def score_one(
        self, record: Mapping[str, Any], *, time: datetime | None = None, request_id: str | None = None
    ) -> Scores:
        """Score one record; the rest is as in `score`."""
        return self._post(record, time, request_id, probe=False)

    def _post(self, body: Mapping[str, Any], time: datetime | None, request_id: str | None, probe: bool) -> Scores:
        headers = dict(self._headers)
        if time is not None:
            headers[CLOCK_HEADER] = time.isoformat()
        if request_id is not None:
            headers["x-request-id"] = request_id
        if probe:
            headers[PROBE_HEADER] = "1"
        content = msgspec.json.encode(body)
        try:
            response = self._http.request("POST", self._uri, body=content, headers=headers, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise EndpointError(f"{self._uri} cannot be reached: {error!r}; is the endpoint deployed?") from error
        if response.status != 200:
            text = response.data.decode(errors="replace")
            raise EndpointError(f"{self._uri} answered {response.status}: {text[:1000]}")
        return _scores(msgspec.json.decode(response.data))


def _scores(answer: dict[str, Any]) -> Scores:
    """The probability goes by the name that the model's signature gives it: it is what is not the id."""
    predictions = []
    for item in answer["predictions"]:
        (probability,) = (value for name, value in item.items() if name != "id")
        predictions.append(Prediction(item["id"], probability))
    return Scores(tuple(predictions), answer["model"]["name"], answer["model"]["version"])
