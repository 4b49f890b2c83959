"""What a check is and what it comes to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ml_platform.errors import PlatformError

Seen = dict[str, str | int | float | bool]
"""What was seen, by name: versions, counts, states. Never a secret."""

Status = Literal["ok", "failed", "skipped"]


class CheckFailed(PlatformError):
    """A dependency is not as it must be. `remedy` is a sentence that names the resource and what it needs."""

    def __init__(self, why: str, remedy: str, **seen: str | int | float | bool) -> None:
        super().__init__(why)
        self.remedy, self.seen = remedy, seen


class CheckSkipped(PlatformError):
    """A check cannot or need not be made; the message says why."""


@dataclass(frozen=True)
class Check:
    """Looks at one thing. `needs` is the name of a check without whose success it makes no sense."""

    name: str
    look: Callable[[], Seen]
    needs: str = ""


@dataclass(frozen=True)
class Result:
    """How a check ended. `reason` says why it failed or was skipped, `remedy` what to do; `seconds` is what it took."""

    name: str
    status: Status
    seen: Seen = field(default_factory=dict)
    reason: str | None = None
    remedy: str | None = None
    seconds: float = 0.0
