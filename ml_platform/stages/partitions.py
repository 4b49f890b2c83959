"""The daily partitions of a product, and the days that a run is to compute."""

from datetime import date, timedelta

import dagster as dg

from dbx_jobs.contract import Days
from ml_platform.core.product import ProductSpec


def daily(product: ProductSpec) -> dg.DailyPartitionsDefinition:
    """One partition a day of the product's time zone, from its first to its last day."""
    end = product.end + timedelta(days=1) if product.end else None
    return dg.DailyPartitionsDefinition(
        start_date=product.start.isoformat(),
        end_date=end.isoformat() if end else None,
        timezone=product.timezone,
    )


def days_of(context: dg.AssetExecutionContext) -> Days:
    """The closed range of days that this run computes."""
    keys = context.partition_keys
    return Days(keys[0], keys[-1])


def day_keys(product: ProductSpec, start: date, end: date) -> list[str]:
    """Partition keys from `start` to `end`, both included, without days before the product's first."""
    first = max(start, product.start)
    return [(first + timedelta(days=n)).isoformat() for n in range((end - first).days + 1)]


def days_between(product: ProductSpec, day: str, offset: int) -> list[str]:
    """Partition keys from `day` moved by `offset` (negative) days to `day`, without days before the product's first."""
    last = date.fromisoformat(day)
    return day_keys(product, last + timedelta(days=offset), last)


def look_back(days: int) -> dg.TimeWindowPartitionMapping:
    """A day depends on itself and the `days` before it; those before the first partition do not exist."""
    return dg.TimeWindowPartitionMapping(start_offset=-days, allow_nonexistent_upstream_partitions=True)
