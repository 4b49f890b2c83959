"""The monitoring pictures are small PNGs inside Markdown, whatever there is to show."""

import base64
import io
import re

import pytest
from PIL import Image

from ml_platform.core.drift import ColumnDrift, Comparison
from ml_platform.core.product_monitors import DriftSpec, PerformanceSpec
from ml_platform.core.spec import MetricName
from ml_platform.stages import plots

POLICY = DriftSpec()
METRICS: tuple[MetricName, ...] = ("roc_auc", "log_loss")


def picture(markdown: str) -> Image.Image:
    assert len(markdown) < plots.MAX_BYTES
    found = re.fullmatch(r"!\[[^\]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found, markdown[:80]
    return Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")


def drift(column: str, psi: float | None) -> ColumnDrift:
    return ColumnDrift(column, 900, "stable" if psi else "too few rows", psi, 0.01 if psi else None, psi)


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(maxcolors=1 << 24) or []}  # type: ignore[misc]


def day(number: int, value: float | None = 0.7, final: bool = True) -> dict[str, object]:
    row: dict[str, object] = {"day": f"2013-{4 + number // 28:02d}-{1 + number % 28:02d}", "final": final}
    for metric in METRICS:
        row |= {metric: value, f"{metric}_low": value and value - 0.05, f"{metric}_high": value and value + 0.05}
    return row


def test_a_heat_map_shows_strong_drift_in_another_colour_than_none():
    calm = colours(picture(plots.drift_heat_map({"2013-04-01": [drift("hour", 0.012)]}, POLICY)))
    wild = colours(picture(plots.drift_heat_map({"2013-04-01": [drift("hour", 3.0)]}, POLICY)))
    assert wild != calm


def test_a_heat_map_of_many_features_and_days_stays_below_the_limit():
    days = {
        f"2013-{m:02d}-{d:02d}": [drift(f"a_feature_with_a_long_name_{n}", 0.01 * ((n * d) % 31)) for n in range(80)]
        for m in range(1, 5)
        for d in range(1, 29)
    }
    picture(plots.drift_heat_map(days, POLICY))


def test_a_day_with_too_few_rows_is_drawn_without_a_score():
    picture(plots.drift_heat_map({"2013-04-01": [drift("hour", None)], "2013-04-02": [drift("hour", 0.2)]}, POLICY))


@pytest.mark.parametrize("actual", [(10, 20, 0), (0, 0, 0)])
def test_a_distribution_is_drawn_even_of_an_empty_day(actual: tuple[int, ...]):
    picture(plots.distribution(Comparison("carrier", ("UA", "AA", "missing"), (100, 50, 0), actual)))


def test_a_distribution_of_hundreds_of_categories_stays_below_the_limit():
    labels = tuple(f"destination {n}" for n in range(400))
    picture(plots.distribution(Comparison("dest", labels, tuple(range(400)), tuple(range(400, 0, -1)))))


def test_performance_shows_gaps_provisional_days_and_thresholds():
    policy = PerformanceSpec(floors={"roc_auc": 0.6})
    plain = picture(plots.performance_over_time([day(0), day(1)], METRICS, PerformanceSpec()))
    bounded = picture(plots.performance_over_time([day(0), day(1)], METRICS, policy))
    provisional = picture(plots.performance_over_time([day(0), day(1, final=False)], METRICS, policy))
    gap = picture(plots.performance_over_time([day(0), day(1, None)], METRICS, policy))
    assert len({image.tobytes() for image in (plain, bounded, provisional, gap)}) == 4


def test_performance_of_a_year_stays_below_the_limit():
    picture(
        plots.performance_over_time([day(n, 0.6 + 0.001 * (n % 50)) for n in range(220)], METRICS, PerformanceSpec())
    )


def test_performance_without_any_day_is_an_empty_picture():
    picture(plots.performance_over_time([], METRICS, PerformanceSpec()))
