"""Makes checks, all at once and each with a time of its own, so that one that hangs does not hold the others."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from ml_platform.doctor.check import Check, CheckFailed, CheckSkipped, Result
from ml_platform.errors import PlatformError

_WAS = {"failed": "failed", "skipped": "was skipped"}


def examine(checks: Sequence[Check], seconds: float) -> Iterator[Result]:
    """The result of each check in their order; one that is not done after `seconds` has failed.

    A check's time begins when what it needs has come to its end. What hangs is left in a thread that does not hold the
    process.
    """
    outcomes: dict[str, Future[Result]] = {check.name: Future() for check in checks}
    for check in checks:
        threading.Thread(target=_make, args=(check, outcomes, seconds), name=check.name, daemon=True).start()
    for check in checks:
        yield outcomes[check.name].result()


def _make(check: Check, outcomes: Mapping[str, Future[Result]], seconds: float) -> None:
    outcome = outcomes[check.name]
    if check.needs and (needed := outcomes[check.needs].result()).status != "ok":
        outcome.set_result(Result(check.name, "skipped", reason=f"it needs {check.needs}, which {_WAS[needed.status]}"))
        return
    timer = threading.Timer(seconds, _settle, (outcome, _too_late(check, seconds)))
    timer.daemon = True
    timer.start()
    _settle(outcome, _result(check))
    timer.cancel()


def _settle(outcome: Future[Result], result: Result) -> None:
    with suppress(InvalidStateError):  # the time was over, or the result was there, a moment before
        outcome.set_result(result)


def _result(check: Check) -> Result:
    began = time.monotonic()

    def after() -> float:
        return round(time.monotonic() - began, 2)

    try:
        return Result(check.name, "ok", check.look(), seconds=after())
    except CheckSkipped as skipped:
        return Result(check.name, "skipped", reason=str(skipped), seconds=after())
    except CheckFailed as failed:
        return Result(check.name, "failed", failed.seen, str(failed), failed.remedy, after())
    except PlatformError as error:
        return Result(check.name, "failed", {}, str(error), "Do what the message says", after())
    except Exception as error:  # a library may raise anything: it is shown, and the other checks go on
        reason = f"{type(error).__name__}: {error}"
        return Result(
            check.name, "failed", {}, reason, f"Look at what {check.name} is set to; this is unforeseen", after()
        )


def _too_late(check: Check, seconds: float) -> Result:
    return Result(
        check.name,
        "failed",
        {},
        f"it did not end in {seconds:g} s",
        f"See whether what {check.name} reaches answers at all, through firewalls and private endpoints, and whether "
        "it is throttled; or give it more time with --timeout",
        seconds,
    )
