"""Files that are dropped lead, with nobody touching anything, to exactly what depends on them."""

from typing import Any

import pandas as pd

from ml_platform.core.keys import AssetPath
from ml_platform_tests.e2e.line import REPLAYED
from ml_platform_tests.live.deployment import eventually
from ml_platform_tests.live.live_line import (
    DRIFT,
    FEATURES,
    FLIGHTS,
    LOG,
    PERFORMANCE,
    SECONDS,
    TRUTH,
    WEATHER,
    LiveLine,
    Stopwatch,
    days_after,
    days_between,
)

LOOK_BACK, MATURED_AFTER = 9, 2
CORRECTED = "2013-01-30"


def test_a_dropped_day_becomes_its_partitions_and_its_scored_flights_become_monitoring(live: LiveLine) -> None:
    live.settled()
    mark, day, watch = live.mark(), live.next_day(), Stopwatch()
    logged = {other for other in live.contents(LOG) if matures_with(day, other)}
    live.drop(day)
    live.settled()
    print(
        f"\nfrom a dropped day to its features: {live.seconds(FEATURES, day, watch)}, to the last measurement: {watch}"
    )
    whole = {(FLIGHTS, day), (WEATHER, day), (FEATURES, day)}
    # The days before turn final with it.
    assert live.done_since(mark) == whole | of(TRUTH, logged) | of(PERFORMANCE, logged)
    watch = Stopwatch()
    asked = live.score(day)
    print(f"{asked} requests: {watch}")
    watch = Stopwatch()
    live.settled()
    print(f"from the last request to the last measurement: {watch}")
    monitored = live.done_since(mark, (LOG, TRUTH, DRIFT, PERFORMANCE))
    assert {(LOG, day), (TRUTH, day), (DRIFT, day), (PERFORMANCE, day)} <= monitored
    # What is asked one hour before a flight after midnight is logged the day before.
    assert {other for _, other in monitored} <= {days_after(day, -1), day} | logged
    assert live.done_since(mark, (FLIGHTS, WEATHER, FEATURES)) == whole


def test_a_corrected_file_becomes_exactly_its_dependents(live: LiveLine) -> None:
    live.settled()
    mark = live.mark()
    features, truth = live.contents(FEATURES), live.contents(TRUTH)
    watch = Stopwatch()
    correct(live, CORRECTED)
    live.settled()
    print(f"\nfrom a corrected file to its last dependent: {watch}")
    last = max(features)
    reach = [day for day in days_between(CORRECTED, days_after(CORRECTED, LOOK_BACK)) if day <= last]
    changed = {day for day, version in live.contents(FEATURES).items() if features[day] != version}
    assert CORRECTED in changed
    assert changed <= set(reach)
    labelled = {day for day in truth if any(day == other or matures_with(other, day) for other in changed)}
    relabelled = {day for day, version in live.contents(TRUTH).items() if truth[day] != version}
    expected = {(FLIGHTS, CORRECTED)} | of(FEATURES, reach) | of(TRUTH, labelled)
    assert live.done_since(mark) - of(PERFORMANCE, labelled) == expected
    assert of(PERFORMANCE, relabelled) <= live.done_since(mark)
    assert REPLAYED[0] in truth


def test_a_file_of_garbage_is_quarantined_told_and_held_until_it_is_repaired(live: LiveLine) -> None:
    live.settled()
    day, known = live.next_day(), {alert.key for alert in live.alerts()}
    mark, watch = live.mark(), Stopwatch()
    live.drop(day, flights=spoiled)
    eventually(lambda: live.outcome(FLIGHTS, day) == "failed", "the garbage was read", SECONDS)
    print(f"\nfrom a file of garbage to its failed check: {watch}")
    told = eventually(
        lambda: [alert for alert in live.alerts() if alert.key not in known and day in str(alert)], "an alert", SECONDS
    )
    print(f"to its alert: {watch}: {told[0].title}")
    live.settled()
    assert live.line.read(("quarantine", "flights"), (day, day)).shape[0] >= 3
    assert (FEATURES, day) not in live.done_since(mark)
    watch = Stopwatch()
    live.drop(day)
    live.settled()
    print(f"from its repair to the last feature: {watch}")
    assert live.outcome(FLIGHTS, day) == live.outcome(FEATURES, day) == "passed"
    assert (FEATURES, day) in live.done_since(mark)


def matures_with(day: str, other: str) -> bool:
    """Whether the labels of `other` may turn final with a day: they mature in one day, which the next event proves."""
    return days_after(day, -MATURED_AFTER) <= other < day


def of(path: AssetPath, days: Any) -> set[tuple[AssetPath, str]]:
    return {(path, day) for day in days}


def correct(live: LiveLine, day: str) -> None:
    """A flight of a day that was in time arrived an hour late."""
    file = live.file("flights", day)
    rows: Any = pd.read_csv(file, dtype="string")
    rows.loc[(rows["arr_delay"].astype("Float64") < 0).idxmax(), "arr_delay"] = "61"
    unfinished = file.with_name(".unfinished")
    rows.to_csv(unfinished, index=False)
    unfinished.replace(file)


def spoiled(text: str) -> str:
    """A file of which only the header is left."""
    return "\n".join([text.splitlines()[0], *[f"garbage {n}" for n in range(50)]]) + "\n"
