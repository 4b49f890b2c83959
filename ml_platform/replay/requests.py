"""Asks a live endpoint about past events, each at its own prediction time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import EndpointError
from ml_platform.gateways.endpoints import Endpoints, ScoringClient
from ml_platform.gateways.lake import Lake

Progress = Callable[[str, int], None]
Event = tuple[datetime, str, dict[str, Any]]
"""Prediction time, its local day, record."""

AT_ONCE = 4
"""Requests on their way: while some are answered the next is made."""


def replay_days(
    lake: Lake,
    endpoints: Endpoints,
    product: ProductSpec,
    start: str,
    end: str,
    progress: Progress = lambda _d, _n: None,
) -> int:
    """Send every row of the feature table from `start` to `end`, in the order of their prediction times.

    One request an event, AT_ONCE on their way, each carrying the time at which it would have come, so that the endpoint
    must be declared with `replay_clock`. The request id is the event's key and the model's version: asking the same
    model again gives the same prediction ids. `progress` is told each day and how many of its events were asked.
    Returns the number of requests; raises EndpointError when nothing is served.
    """
    asked, version = 0, _served_version(endpoints, product.name)
    address, key = endpoints.scoring_uri(product.name), endpoints.keys(product.name).primary
    with ScoringClient(address, key) as client, ThreadPoolExecutor(AT_ONCE) as threads:

        def ask(event: Event) -> None:
            at, _, record = event
            identity = "-".join(str(record[column]) for column in product.features.primary_key)
            client.score_one(record, time=at, request_id=f"{identity}-v{version}")

        for day, events in groupby(_events(lake, product, start, end), key=lambda event: event[1]):
            count = sum(1 for _ in threads.map(ask, events))
            progress(day, count)
            asked += count
    return asked


def _served_version(endpoints: Endpoints, name: str) -> str:
    state = endpoints.state(name)
    if state is None or state.serving is None:
        raise EndpointError(f"endpoint {name!r} serves nothing: materialise endpoints/{name} first")
    return state.serving.model_version


def _events(lake: Lake, product: ProductSpec, start: str, end: str) -> Iterator[Event]:
    """The events in the order of time; a record has no label: it is not known yet."""
    features = product.features
    rows = lake.rows(keys.features(product.name), start, end)
    for row in sorted(rows, key=lambda row: (row[features.prediction_time], *(row[c] for c in features.primary_key))):
        at = row[features.prediction_time].astimezone(ZoneInfo(product.timezone))
        hidden = {"day", product.model.label, features.prediction_time}
        record = {name: value for name, value in row.items() if name not in hidden}
        yield at, at.date().isoformat(), record
