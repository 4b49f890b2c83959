"""Fills an online store with the newest values of this home's lake."""

from pathlib import Path
from typing import Any

from dbx_jobs.jobs.online_features import fill_store
from dbx_jobs.online_contract import OnlineRequest
from dbx_jobs.runtime import spark_session
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import Lake
from ml_platform.settings import Settings
from ml_platform.stages.roles import online_table


def fill_newest(product: ProductSpec, settings: Settings, store: Path) -> dict[str, Any]:
    """Fill the store in the folder `store`; the last row of the source that is asked about, as a request."""
    online, lake = product.features.online, Lake(settings.lake_uri)
    assert online
    asked_of = keys.lake(online.asked_of)
    last = max(row["day"] for row in lake.rows(asked_of, product.start.isoformat(), "9999-12-31"))
    day = last.isoformat()
    times = {name: source.event_time.column for name, source in product.daily_sources.items() if source.event_time}
    with spark_session() as spark:
        fill_store(spark, OnlineRequest(online_table(product, online, lake), store.as_uri(), times, day))
    rows = lake.rows(asked_of, day, day)
    return max((row for row in rows if row["tailnum"]), key=lambda row: row[product.features.event_time])
