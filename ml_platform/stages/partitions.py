"""The daily partitions of a product, and the days that a run is to compute."""

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg

from dbx_jobs.contract import Days
from ml_platform.core.product import ProductSpec

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


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


def day_range(start: str, end: str) -> list[str]:
    """Every day from `start` to `end`, both included."""
    first = date.fromisoformat(start)
    return [(first + timedelta(days=n)).isoformat() for n in range((date.fromisoformat(end) - first).days + 1)]


def in_range(product: ProductSpec, day: str) -> bool:
    """Whether `day` is one of the product's partitions (its future ones, without a declared end, included)."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return product.start.isoformat() <= day and (product.end is None or day <= product.end.isoformat())


def ranges(days: Iterable[str], most: int) -> list[Days]:
    """The contiguous ranges of `days`, in order, none longer than `most` days."""
    found: list[list[str]] = []
    for day in sorted(days):
        after = (date.fromisoformat(found[-1][-1]) + timedelta(days=1)).isoformat() if found else None
        if found and day == after and len(found[-1]) < most:
            found[-1].append(day)
        else:
            found.append([day])
    return [Days(run[0], run[-1]) for run in found]


def range_tags(days: Days) -> dict[str, str]:
    """The tags by which a run computes a closed range of days."""
    return {RANGE_START: days.start, RANGE_END: days.end}
