"""What the rows of a day in the tables of monitoring say, as reports of their asset checks."""

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


def online_check(day: str, rows: Sequence[Mapping[str, Any]]) -> CheckReport:
    """A day fails when a value that the endpoint looked up is another one offline; it names features and values.

    `rows` are those of the day, one for each feature.
    """
    differing = [row for row in rows if row["differing"]]
    sums = online_sums(rows)
    seen = f"{sums['completed']} completed requests, {sums['missing']} values too old or absent"
    told = [
        f"{row['feature']}: {row['differing']}, such as online {row['online']}, offline {row['offline']}"
        f" for prediction {row['prediction_id']}"
        for row in differing[:5]
    ]
    return CheckReport(
        name=EQUAL,
        passed=not differing,
        severity="ERROR",
        partition=day,
        observed="; ".join([seen, *told]),
        failing=[row["feature"] for row in differing],
    )


def online_sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The completed requests of a day, and how many of their values were missing or differ offline."""
    completed = max((row["completed"] for row in rows), default=0)
    return {"completed": completed} | {name: sum(row[name] for row in rows) for name in ("missing", "differing")}
