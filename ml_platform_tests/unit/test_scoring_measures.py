"""What a host counts, the sums over its workers, and what Prometheus reads."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ml_platform.scoring.measures import BINS, SECONDS, Counts, Measures, exposition, measured, total
from ml_platform.scoring.state import MEASURES_FOLDER, write_state


def sample(text: str, name: str, **labels: str) -> float:
    """The value that Prometheus reads under that name with those labels."""
    found = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    (value,) = (s.value for s in found if s.labels == labels)
    return value


def two_workers() -> list[Measures]:
    """Of a worker that answered by blue and mirrored to green, and one that failed and had to drop rows."""
    first, second = Measures(), Measures(dropped_rows=5, skipped_shadows=2)
    for status in (200, 200, 422):
        first.answered(status)
    second.answered(200)
    second.answered(500)
    first.of("live", "blue/1").scored(0.001, [0.2, 0.9])
    first.of("live", "blue/1").scored(0.003, [0.2])
    first.of("shadow", "green/2").scored(0.5, [0.7])
    second.of("live", "blue/1").scored(0.001, [0.0])
    second.of("live", "blue/1").failure()
    return [first, second]


def test_a_request_counts_once_and_each_of_its_predictions_in_the_bin_that_holds_it() -> None:
    counts = Counts()
    counts.scored(2e-5, [0.0, 0.049, 0.05, 0.999, 1.0])
    assert (counts.requests, counts.failed, counts.seconds_sum, sum(counts.seconds)) == (1, 0, 2e-5, 1)
    assert {n: count for n, count in enumerate(counts.predictions) if count} == {0: 2, 1: 1, BINS - 1: 2}


@pytest.mark.parametrize("seconds", [0.0, SECONDS[0], SECONDS[0] * 1.01, 0.004, SECONDS[-1], 100.0])
def test_a_time_counts_in_the_first_bin_whose_bound_it_does_not_exceed(seconds: float) -> None:
    counts = Counts()
    counts.scored(seconds, [])
    place = counts.seconds.index(1)
    assert place == len(SECONDS) or seconds <= SECONDS[place]
    assert place == 0 or seconds > SECONDS[place - 1]


def test_the_sum_over_workers_is_the_sum_of_all_that_each_counted() -> None:
    both = total(two_workers())
    blue = both.live["blue/1"]
    assert (blue.requests, blue.failed, sum(blue.seconds), sum(blue.predictions)) == (4, 1, 3, 4)
    assert blue.seconds_sum == pytest.approx(0.005)
    assert (blue.predictions[4], both.shadow["green/2"].requests) == (2, 1)
    assert both.answers == {200: 3, 422: 1, 500: 1}
    assert (both.dropped_rows, both.skipped_shadows) == (5, 2)


def test_what_happened_since_is_the_difference_of_two_counts() -> None:
    before, since = Counts(), Counts()
    before.scored(0.125, [0.25])
    since.scored(0.25, [0.75])
    since.failure()
    assert before.plus(since).plus(before, -1) == since


def test_what_workers_that_have_ended_counted_stays_and_half_written_files_are_not_read(tmp_path: Path) -> None:
    assert measured(tmp_path) == Measures()
    (tmp_path / MEASURES_FOLDER).mkdir()
    for pid, each in enumerate(two_workers()):
        write_state(tmp_path / MEASURES_FOLDER / f"{pid}.json", each)
    (tmp_path / MEASURES_FOLDER / ".7.json.7").write_text("{")
    (tmp_path / MEASURES_FOLDER / ".7.json").write_text("{")
    assert measured(tmp_path) == total(two_workers())


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("scoring_requests_total", {"status": "200"}, 3),
        ("scoring_requests_total", {"status": "422"}, 1),
        ("scoring_failures_total", {"of": "blue"}, 1),
        ("scoring_failures_total", {"of": "green"}, 0),
        ("scoring_processor_seconds_count", {"of": "blue"}, 3),
        ("scoring_processor_seconds_count", {"of": "green"}, 1),
        ("scoring_processor_seconds_sum", {"of": "green"}, 0.5),
        ("scoring_prediction_bucket", {"of": "blue", "le": "0.05"}, 1),
        ("scoring_prediction_bucket", {"of": "blue", "le": "0.25"}, 3),
        ("scoring_prediction_bucket", {"of": "blue", "le": "+Inf"}, 4),
        ("inference_log_dropped_rows_total", {}, 5),
        ("scoring_skipped_shadows_total", {}, 2),
    ],
)
def test_prometheus_reads_what_was_counted(name: str, labels: dict[str, Any], value: float) -> None:
    roles = {"blue": ("1", "live"), "green": ("2", "shadow")}
    if of := labels.pop("of", None):
        labels |= {"deployment": of, "model_version": roles[of][0], "role": roles[of][1]}
    assert sample(exposition(total(two_workers())).decode(), name, **labels) == value


def test_the_buckets_that_prometheus_reads_grow_to_the_count_of_all() -> None:
    text = exposition(total(two_workers())).decode()
    (family,) = (each for each in text_string_to_metric_families(text) if each.name == "scoring_processor_seconds")
    buckets = [s for s in family.samples if s.name.endswith("_bucket") and s.labels["deployment"] == "blue"]
    assert [float(each.labels["le"]) for each in buckets] == pytest.approx([*SECONDS, float("inf")], rel=1e-5)
    assert [each.value for each in buckets] == sorted(each.value for each in buckets)
    assert buckets[-1].value == 3


def test_a_host_that_has_answered_nothing_exposes_zeros_that_prometheus_reads() -> None:
    text = exposition(Measures()).decode()
    assert sample(text, "inference_log_dropped_rows_total") == 0
