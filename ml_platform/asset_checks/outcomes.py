"""What became of each asset check: evaluated by partition, impossible to evaluate, or not there to be evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dbx_jobs.contract import CheckReport, Severity

State = Literal["passed", "warned", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Found:
    """What an evaluator found of one asset: reports of its checks, or why there are none.

    `problem` says what could not be evaluated, whatever `reports` there are, and `unknown` so of single checks;
    `absent` says that nothing is there yet.
    """

    asset: str
    reports: Sequence[CheckReport] = ()
    problem: str = ""
    absent: str = ""
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """One asset check, over all the partitions on which it was evaluated."""

    asset: str
    check: str
    severity: Severity
    reports: Sequence[CheckReport] = ()
    problem: str = ""
    skipped: str = ""

    @property
    def failing(self) -> list[CheckReport]:
        """The partitions that did not pass."""
        return [report for report in self.reports if not report.passed]

    @property
    def state(self) -> State:
        """A check that could not be evaluated is an error, whatever its severity; only failed ERROR checks are failed.

        `warned` is a failed WARN check: shown, and no failure.
        """
        if self.problem:
            return "error"
        if any(report.severity == "ERROR" for report in self.failing):
            return "failed"
        if self.failing:
            return "warned"
        return "passed" if self.reports else "skipped"

    @property
    def breaks(self) -> bool:
        """Whether the whole evaluation fails by this check."""
        return self.state in ("failed", "error")

    @property
    def observed(self) -> str:
        """What was seen: the problem, or of the first partitions that failed (else the last) what they hold."""
        if self.problem or self.skipped:
            return self.problem or self.skipped
        shown = self.failing[:3] or list(self.reports[-1:])
        return "; ".join(f"{report.partition or 'table'}: {_seen(report)}" for report in shown)


def _seen(report: CheckReport) -> str:
    values = ", ".join(report.failing[:3])
    return f"{report.observed} ({values})" if values else report.observed
