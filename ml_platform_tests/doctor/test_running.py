"""Checks run at once, each with its own time, and none holds another."""

import threading
import time
from collections.abc import Iterator

import pytest

from ml_platform.doctor.check import Check, CheckFailed, CheckSkipped, Seen
from ml_platform.doctor.running import examine

LONG = 60.0


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event for which a check waits; it is set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def fine() -> Seen:
    return {"version": "1"}


def failing() -> Seen:
    raise CheckFailed("the shop is closed", "Open the shop", hours=8)


def skipping() -> Seen:
    raise CheckSkipped("nobody lives here")


def test_a_check_that_hangs_fails_after_its_time_and_the_others_are_made(never: threading.Event) -> None:
    def hanging() -> Seen:
        never.wait(LONG)
        return {}

    began = time.monotonic()
    hung, other = examine([Check("hanging", hanging), Check("fine", fine)], 0.3)
    assert time.monotonic() - began < LONG / 2
    assert (hung.status, hung.reason, hung.seconds) == ("failed", "it did not end in 0.3 s", 0.3)
    assert hung.remedy and "hanging" in hung.remedy and "--timeout" in hung.remedy
    assert (other.status, other.seen) == ("ok", {"version": "1"})


def test_checks_are_made_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=LONG)

    def met() -> Seen:
        meeting.wait()
        return {}

    assert [result.status for result in examine([Check(name, met) for name in "abc"], LONG)] == ["ok"] * 3


def test_a_check_is_skipped_when_what_it_needs_failed_and_its_time_begins_after_that(never: threading.Event) -> None:
    def slow() -> Seen:
        never.wait(0.6)
        return {}

    def slow_too() -> Seen:
        never.wait(0.6)
        return {}

    checks = [
        Check("broken", failing),
        Check("held", fine, needs="broken"),
        Check("held by it", fine, needs="held"),
        Check("slow", slow),
        Check("after", slow_too, needs="slow"),
    ]
    broken, held, by_it, slow_one, after = examine(checks, 1.0)
    assert broken.status == "failed"
    assert (held.status, held.reason) == ("skipped", "it needs broken, which failed")
    assert (by_it.status, by_it.reason) == ("skipped", "it needs held, which was skipped")
    assert (slow_one.status, after.status) == ("ok", "ok")


def test_a_failure_keeps_its_reason_its_remedy_and_what_was_seen() -> None:
    (result,) = examine([Check("shop", failing)], LONG)
    assert (result.status, result.reason, result.remedy) == ("failed", "the shop is closed", "Open the shop")
    assert result.seen == {"hours": 8}


def test_a_check_that_cannot_be_made_says_why() -> None:
    (result,) = examine([Check("house", skipping)], LONG)
    assert (result.status, result.reason, result.remedy) == ("skipped", "nobody lives here", None)


def test_what_nobody_foresaw_is_a_failure_with_its_name_and_holds_no_other_check() -> None:
    def unforeseen() -> Seen:
        raise ZeroDivisionError("by nothing")

    strange, other = examine([Check("strange", unforeseen), Check("fine", fine)], LONG)
    assert (strange.status, strange.reason) == ("failed", "ZeroDivisionError: by nothing")
    assert other.status == "ok"
