"""One thing that was seen, against what it was held: the evidence of a retraining decision."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["fault", "doubt", "decay", "prediction drift", "feature drift"]


@dataclass(frozen=True)
class Signal:
    """What was seen of a source, a column or a metric (`name`), as a sentence and in numbers.

    `alarm` is true when `value` is beyond `threshold` and, where there is a `p_value`, chance does not explain it:
    it is at most `level`. `days` are the first and the last day.
    """

    kind: Kind
    name: str
    sentence: str
    alarm: bool = False
    value: float | None = None
    reference: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    level: float | None = None
    rows: int = 0
    days: list[str] = field(default_factory=list)
    column: bool = False
    """Whether `name` is a column of the requests."""
