"""Waits until an endpoint has written down what it answered: it does so after the answer."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ml_platform.core.product import ProductSpec
from ml_platform.errors import EndpointError
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.lake.lake import LOG
from ml_platform.stages.rollout import COLOURS

WAIT_SECONDS = 30
POLL_SECONDS = 0.02


def logged(lake: Lake, product: ProductSpec, day: str) -> int:
    """The requests of the hours of `day` that the endpoint's log has whole: outputs are written after inputs."""
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(product.timezone)).astimezone(UTC)
    # A day of the zone has up to 25 hours.
    hours = {f"{start + timedelta(hours=n):%Y/%m/%d/%H}" for n in range(25)}
    files = (
        file.path
        for colour in COLOURS
        for utc_day in sorted({hour[:10] for hour in hours})
        for file in lake.files.listed(f"{LOG}/{product.name}/{colour}/model_outputs/{utc_day}")
    )
    return sum((lake.files.read(path) or b"").count(b"\n") for path in files if path.split("/", 4)[4][:13] in hours)


def wait_for_log(lake: Lake, product: ProductSpec, day: str, requests: int) -> None:
    """Return once the log has `requests` of the hours of `day`; raises EndpointError when it does not come to that."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := logged(lake, product, day)) < requests:
        if time.monotonic() > deadline:
            raise EndpointError(
                f"the log of {product.name!r} has {found} of the {requests} requests of {day} after {WAIT_SECONDS} s; "
                "see the log of the endpoint's host or container"
            )
        time.sleep(POLL_SECONDS)
