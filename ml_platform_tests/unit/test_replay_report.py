"""A replay's figures and its report: what a person and a program read."""

import json
import re
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from dbx_jobs.contract import Days
from ml_platform.components.declared import declared_product
from ml_platform.replay.arms import ARMS, MONTHLY, PLATFORM, STATIC, Scored
from ml_platform.replay.decisions import DecisionRecord
from ml_platform.replay.figures import POOLED, Period, periods
from ml_platform.replay.monthly import later_months
from ml_platform.replay.report import Report, write_report

REASON = "log loss rose <b>from</b> 0.41 & stayed"


@pytest.fixture(scope="module")
def scored() -> Scored:
    random = np.random.default_rng(3)
    first = date(2013, 4, 21)
    day = np.repeat([(first + timedelta(days=n)).isoformat() for n in range(20)], 40)
    label = (random.random(len(day)) < 0.3).astype(np.int8)

    def guess(noise: float) -> np.ndarray:
        return np.clip(0.25 + 0.2 * label + noise * random.standard_normal(len(label)), 0.01, 0.99)

    return Scored(day, label, {PLATFORM: guess(0.1), STATIC: guess(0.3), MONTHLY: guess(0.12)})


@pytest.fixture(scope="module")
def figures(scored: Scored) -> list[Period]:
    return periods(scored, seed=1)


@pytest.fixture(scope="module")
def report(figures: list[Period]) -> Report:
    acted = DecisionRecord("2013-05-03", "retrain", [REASON], "d-7", "0123456789", "2", "promoted", 61.0)
    refused = DecisionRecord("2013-05-09", "retrain", ["again"], "d-9", "abcdefghij", "3", "refused by the gate", 9.0)
    quiet = [DecisionRecord(f"2013-04-{n}", "wait", ["nothing to see"], f"d-{n}") for n in range(21, 31)]
    return Report(
        "flight_delays", "2013-04-21", "2013-05-10", figures, [*quiet, acted, refused], "1", 1, {"score": 75.0}
    )


def test_each_months_figures_and_the_pooled_ones_are_scikit_learns(scored: Scored, figures: list[Period]) -> None:
    assert [period.name for period in figures] == ["2013-04", "2013-05", POOLED]
    for period in figures:
        mask = np.array([period.name in (POOLED, day[:7]) for day in scored.day])
        for arm in ARMS:
            label, score = scored.label[mask], scored.scores[arm][mask]
            assert period.metrics[arm]["roc_auc"].point == pytest.approx(roc_auc_score(label, score))
            assert period.metrics[arm]["log_loss"].point == pytest.approx(log_loss(label, score))
        assert (period.rows, period.positives) == (mask.sum(), scored.label[mask].sum())


def test_what_the_platform_gains_is_its_metric_minus_the_others(figures: list[Period]) -> None:
    pooled = figures[-1]
    gain = pooled.against[STATIC]["roc_auc"]
    assert gain.point == pytest.approx(
        pooled.metrics[PLATFORM]["roc_auc"].point - pooled.metrics[STATIC]["roc_auc"].point
    )
    assert 0 < gain.lower < gain.point < gain.upper


def test_the_json_has_figures_decisions_and_their_cost(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["verdicts"] == {"wait": 10, "retrain": 2}
    assert found["retrainings"] == {PLATFORM: 2, STATIC: 0, MONTHLY: 1}
    assert found["training_seconds"] == 70.0
    assert found["periods"][-1]["name"] == POOLED
    assert [d["version"] for d in found["decisions"] if d["run_id"]] == ["2", "3"]


def test_the_page_needs_nothing_from_elsewhere_and_shows_what_people_wrote_as_text(
    report: Report, tmp_path: Path
) -> None:
    html = write_report(report, tmp_path).read_text()
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(str(value) for name, value in attrs if name in ("src", "href"))

    Links().feed(html)
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "&lt;b&gt;from&lt;/b&gt; 0.41 &amp; stayed" in html
    assert "<b>from</b>" not in html


def test_the_page_names_each_retraining_with_its_version_and_what_came_of_it(report: Report, tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", write_report(report, tmp_path).read_text())
    assert "version 2 promoted" in text
    assert "version 3 refused by the gate" in text
    assert "1 min 1 s" in text


def test_the_monthly_arm_knows_only_labels_that_were_final_when_the_month_began() -> None:
    product = declared_product("flight_delays")
    assert product.monitors.performance.maturity_days == 1
    found = list(later_months(product, Days("2013-10-15", "2014-01-01")))
    assert found == [("2013-11", "2013-10-30"), ("2013-12", "2013-11-29"), ("2014-01", "2013-12-30")]
    assert list(later_months(product, Days("2013-10-01", "2013-10-31"))) == []
