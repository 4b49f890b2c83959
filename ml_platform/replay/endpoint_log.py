"""Waits until the host of a local endpoint has written down what it answered: it does so after the answer."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ml_platform.core.product import ProductSpec
from ml_platform.errors import EndpointError
from ml_platform.gateways.lake import Lake
from ml_platform.upstream import local_path

WAIT_SECONDS = 30
POLL_SECONDS = 0.02


def logged(lake: Lake, product: ProductSpec, day: str) -> int:
    """The requests of the hours of `day` that the endpoint's log has whole: outputs are written after inputs."""
    root = local_path(lake.inference_log()) / product.name
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(product.timezone)).astimezone(UTC)
    # A day of the zone has up to 25 hours.
    hours = [f"{start + timedelta(hours=n):%Y/%m/%d/%H}" for n in range(25)]
    files = (file for hour in hours for file in root.glob(f"*/model_outputs/{hour}/*.jsonl"))
    return sum(file.read_bytes().count(b"\n") for file in files)


def wait_for_log(lake: Lake, product: ProductSpec, day: str, requests: int) -> None:
    """Return once the log has `requests` of the hours of `day`; raises EndpointError when it does not come to that."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := logged(lake, product, day)) < requests:
        if time.monotonic() > deadline:
            raise EndpointError(
                f"the log of {product.name!r} has {found} of the {requests} requests of {day} after {WAIT_SECONDS} s; "
                "see host.log in the endpoint's folder"
            )
        time.sleep(POLL_SECONDS)
