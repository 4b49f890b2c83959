"""What the rows of the tables `drift` and `performance` say about a day, as reports of their asset checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from dbx_jobs.contract import CheckReport
from ml_platform.core.drift import PREDICTION, ColumnDrift
from ml_platform.core.performance import judge_day
from ml_platform.core.product import ProductSpec

CHECK = "within_thresholds"
EQUAL = "online_equals_offline"


def drift_check(day: str, columns: Sequence[ColumnDrift], judged: bool) -> CheckReport:
    """A day fails when a column alerts: with ERROR when the prediction does, since a feature alone may be harmless.

    Without its whole window a day is not `judged`: some of its weekdays and weather alone would alert.
    """
    alerts = [column for column in columns if judged and column.verdict == "alert"]
    worst = ", ".join(f"{c.column} {c.psi:.2f}" for c in (alerts or columns)[:5] if c.psi is not None)
    return CheckReport(
        name=CHECK,
        passed=not alerts,
        severity="ERROR" if PREDICTION in {column.column for column in alerts} else "WARN",
        partition=day,
        observed=("" if judged else "no verdict before the window is full; ")
        + (f"PSI: {worst}" if worst else "too few rows"),
        failing=[column.column for column in alerts],
    )


def performance_check(product: ProductSpec, day: str, row: Mapping[str, Any]) -> CheckReport:
    """A day fails when a matured metric is beyond its bound: with ERROR when its whole interval is."""
    verdict = judge_day(row, product.monitors.performance)
    return CheckReport(
        name=CHECK,
        passed=verdict.verdict not in ("alert", "warn"),
        severity="ERROR" if verdict.verdict == "alert" else "WARN",
        partition=day,
        observed=f"{verdict.verdict}, {verdict.labelled} labels",
        failing=[str(breach) for breach in verdict.breaches],
    )


def online_check(day: str, row: Mapping[str, Any]) -> CheckReport:
    """A day fails when a value that the endpoint looked up is another one offline; it names features and values."""
    differing: Mapping[str, int] = row["differing"]
    told = [f"{feature}: {count}, such as {row['examples'][feature]}" for feature, count in sorted(differing.items())]
    seen = f"{row['completed']} completed requests, {row['missing']} of them with values that were too old or not there"
    return CheckReport(
        name=EQUAL,
        passed=not differing,
        severity="ERROR",
        partition=day,
        observed="; ".join([seen, *told[:5]]),
        failing=sorted(differing),
    )
