"""What a host counts: requests, failures, time and predictions, by deployment; kept in files that outlive a worker."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from ml_platform.scoring.state import MEASURES_FOLDER, read_state

__all__ = ["BINS", "CONTENT_TYPE", "SECONDS", "Counts", "Measures", "exposition", "measured", "total"]

SECONDS = tuple(1e-5 * 1.5**step for step in range(36))
"""Upper bounds (seconds) of the histogram of the processor time of a request: 10 us to 15 s."""
BINS = 20
"""Of equal width, over the predictions from 0 to 1."""


class Counts(msgspec.Struct):
    """What one deployment of one model version did. `seconds` [37] and `predictions` [20] are histograms.

    The time of a request is what the model took of the processor for its records, alone or with those that came at the
    same time: not how long it had them, which on a busy machine tells more of its neighbours.
    """

    requests: int = 0
    failed: int = 0
    seconds_sum: float = 0.0
    seconds: list[int] = msgspec.field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    predictions: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)
    predictions_sum: float = 0.0
    predictions_squared: float = 0.0

    def scored(self, seconds: float, probabilities: Iterable[float]) -> None:
        """Count a request that was scored."""
        self.requests += 1
        self.seconds_sum += seconds
        self.seconds[bisect_left(SECONDS, seconds)] += 1
        for probability in probabilities:
            self.predictions_sum += probability
            self.predictions_squared += probability * probability
            self.predictions[min(int(probability * BINS), BINS - 1)] += 1

    def failure(self) -> None:
        """Count a request that the model failed."""
        self.requests += 1
        self.failed += 1

    @property
    def mean(self) -> float:
        """The mean prediction; 0 without one."""
        return self.predictions_sum / max(1, sum(self.predictions))

    @property
    def deviation(self) -> float:
        """The standard deviation of the predictions."""
        return max(0.0, self.predictions_squared / max(1, sum(self.predictions)) - self.mean**2) ** 0.5

    def within(self, share: float) -> float:
        """The time (seconds) that this share of the requests stayed below, between two bounds of the histogram."""
        wanted, below = share * sum(self.seconds), 0
        for place, count in enumerate(self.seconds):
            if count and below + count >= wanted:
                low = SECONDS[place - 1] if place else 0.0
                high = SECONDS[min(place, len(SECONDS) - 1)]
                return low + (high - low) * (wanted - below) / count
            below += count
        return 0.0

    def plus(self, other: "Counts", sign: int = 1) -> "Counts":
        """The sum of both, or with `sign` -1 the difference."""
        return Counts(
            self.requests + sign * other.requests,
            self.failed + sign * other.failed,
            self.seconds_sum + sign * other.seconds_sum,
            [a + sign * b for a, b in zip(self.seconds, other.seconds, strict=True)],
            [a + sign * b for a, b in zip(self.predictions, other.predictions, strict=True)],
            self.predictions_sum + sign * other.predictions_sum,
            self.predictions_squared + sign * other.predictions_squared,
        )


class Measures(msgspec.Struct):
    """What a worker counted. `live` and `shadow` are by deployment and model version, `answers` by HTTP status."""

    live: dict[str, Counts] = {}
    shadow: dict[str, Counts] = {}
    answers: dict[int, int] = {}
    dropped_rows: int = 0
    skipped_shadows: int = 0
    incomplete_records: int = 0

    def of(self, role: Literal["live", "shadow"], name: str) -> Counts:
        """The counts of a deployment in that role, by its name and version."""
        counts = self.live if role == "live" else self.shadow
        found = counts.get(name)
        if found is None:
            found = counts[name] = Counts()
        return found

    def answered(self, status: int) -> None:
        """Count an answer."""
        self.answers[status] = self.answers.get(status, 0) + 1


def measured(directory: Path) -> Measures:
    """What all workers of an endpoint's directory have counted since its host began."""
    found = (read_state(path, Measures) for path in sorted((directory / MEASURES_FOLDER).glob("[!.]*.json")))
    return total(each for each in found if each)


def total(measures: Iterable[Measures]) -> Measures:
    """The sum."""
    result = Measures()
    for each in measures:
        for sums, counts in ((result.live, each.live), (result.shadow, each.shadow)):
            for name, count in counts.items():
                sums[name] = sums.get(name, Counts()).plus(count)
        for status, count in each.answers.items():
            result.answers[status] = result.answers.get(status, 0) + count
        result.dropped_rows += each.dropped_rows
        result.skipped_shadows += each.skipped_shadows
        result.incomplete_records += each.incomplete_records
    return result


def exposition(measures: Measures) -> bytes:
    """The measures in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(measures))
    return generate_latest(registry)


class _Collector:
    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def describe(self) -> Sequence[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        answers = CounterMetricFamily("scoring_requests", "Requests by the status of their answer", labels=["status"])
        for status, count in sorted(self._measures.answers.items()):
            answers.add_metric([str(status)], count)
        yield answers
        labels = ["deployment", "model_version", "role"]
        failed = CounterMetricFamily("scoring_failures", "Requests that a model failed", labels=labels)
        seconds = HistogramMetricFamily(
            "scoring_processor_seconds", "Processor time of the model for a request", labels=labels
        )
        values = HistogramMetricFamily("scoring_prediction", "Probabilities that were predicted", labels=labels)
        for role, counts in (("live", self._measures.live), ("shadow", self._measures.shadow)):
            for name, count in sorted(counts.items()):
                label = [*name.rsplit("/", 1), role]
                failed.add_metric(label, count.failed)
                seconds.add_metric(label, _buckets(SECONDS, count.seconds), count.seconds_sum)
                values.add_metric(
                    label, _buckets([(n + 1) / BINS for n in range(BINS)], count.predictions), count.predictions_sum
                )
        yield from (failed, seconds, values)
        yield CounterMetricFamily(
            "inference_log_dropped_rows", "Rows that the log had to drop", self._measures.dropped_rows
        )
        yield CounterMetricFamily(
            "scoring_skipped_shadows",
            "Requests that were to be mirrored, but too many waited",
            self._measures.skipped_shadows,
        )
        yield CounterMetricFamily(
            "scoring_incomplete_records",
            "Records for which online features were too old or could not be read",
            self._measures.incomplete_records,
        )


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    sums = list(accumulate(counts))
    return [*((f"{bound:g}", count) for bound, count in zip(bounds, sums, strict=False)), ("+Inf", sums[-1])]
