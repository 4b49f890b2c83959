"""What the doctor shows: a line a check for a person, or one JSON document for a program."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from ml_platform.doctor.check import Result

FORMAT = 1
"""Of the JSON document: {"format", "ok", "checks": [{"name", "status", "seen", "reason", "remedy", "seconds"}]}."""

NAMES = 24
"""Width of the column of names."""

_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


def well(results: Iterable[Result]) -> bool:
    """Whether nothing failed; what was skipped is told and does not count."""
    return all(result.status != "failed" for result in results)


def as_json(results: Sequence[Result]) -> str:
    """The document of `FORMAT`."""
    document: dict[str, Any] = {"format": FORMAT, "ok": well(results), "checks": [asdict(each) for each in results]}
    return json.dumps(document, indent=1)


def show(console: Console, result: Result) -> None:
    """A result as a person reads it: what was seen, or why it failed and what to do."""
    line = Text(f"{result.status:<8}", style=_STYLES[result.status])
    seen = ", ".join(f"{name} {value}" for name, value in result.seen.items())
    said = "; ".join(part for part in (result.reason, seen) if part)
    line.append(f"{result.name:<{NAMES}}  {said}", style="default")
    console.print(line, soft_wrap=True)
    if result.remedy:
        console.print(Text(f"{'':{NAMES + 10}}-> {result.remedy}"), soft_wrap=True)


def show_verdict(console: Console, results: Sequence[Result]) -> None:
    """How many checks ended in which way."""
    counts = {status: sum(result.status == status for result in results) for status in _STYLES}
    console.print(", ".join(f"{count} {status}" for status, count in counts.items() if count))
