"""A day's performance is judged on matured labels only, and alarms only on what chance does not explain."""

from typing import Any

import pytest

from ml_platform.core.performance import judge_day
from ml_platform.core.product_monitors import PerformanceSpec

POLICY = PerformanceSpec(floors={"roc_auc": 0.7}, ceilings={"log_loss": 0.5}, min_labels=200)


def day(**changes: Any) -> dict[str, Any]:
    row = {"labelled": 900, "final": True, "roc_auc": 0.75, "roc_auc_low": 0.7, "roc_auc_high": 0.8}
    return row | {"log_loss": 0.45, "log_loss_low": 0.4, "log_loss_high": 0.55} | changes


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "good"),
        ({"final": False, "roc_auc": 0.1}, "provisional"),
        ({"labelled": 199, "roc_auc": 0.1}, "too few labels"),
        ({"roc_auc": 0.68, "roc_auc_high": 0.72}, "warn"),
        ({"roc_auc": 0.6, "roc_auc_high": 0.65}, "alert"),
        ({"log_loss": 0.52, "log_loss_low": 0.49}, "warn"),
        ({"log_loss": 0.6, "log_loss_low": 0.55}, "alert"),
        ({"roc_auc": None, "roc_auc_high": None}, "warn"),
        ({"roc_auc": 0.6, "roc_auc_high": None}, "warn"),
    ],
)
def test_the_verdict_of_a_day(changes: dict[str, Any], verdict: str):
    assert judge_day(day(**changes), POLICY).verdict == verdict


def test_a_breach_says_the_metric_its_value_and_the_bound():
    found = judge_day(day(roc_auc=0.6, roc_auc_high=0.65, log_loss=0.52, log_loss_low=0.49), POLICY)
    assert [str(breach) for breach in found.breaches] == [
        "roc_auc 0.6 is beyond 0.7",
        "log_loss 0.52 is beyond 0.5, within its interval",
    ]
