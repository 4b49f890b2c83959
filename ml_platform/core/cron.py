"""Cron expressions in a declaration: the five fields of crontab(5), as Dagster and Azure ML both understand them."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field


@dataclass(frozen=True)
class _Field:
    """A field: its whole numbers, and names that may stand for them, from the lowest on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> set[int]:
        """The numbers that `text` stands for; raises ValueError."""
        return {value for part in text.split(",") for value in self._range(part)}

    def _range(self, part: str) -> range:
        found = re.fullmatch(r"(?:\*|(\w+)-(\w+))(?:/(\d{1,2}))?", part, re.ASCII)
        if found is None:
            value = self._number(part)
            return range(value, value + 1)
        first, last, step = found.groups()
        low, high = (self._number(first), self._number(last)) if first else (self.low, self.high)
        if low >= high:
            raise ValueError(f"the {self.name} {part!r} does not rise: list its parts")
        # A longer step would never be taken: */90 minutes is each hour, not each 90 minutes.
        if step and not 1 <= int(step) <= high - low:
            raise ValueError(f"the {self.name} {part!r} has a step of {step}, which must be 1 to {high - low}")
        return range(low, high + 1, int(step or 1))

    def _number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        if re.fullmatch(r"\d{1,2}", text, re.ASCII) and self.low <= int(text) <= self.high:
            return int(text)
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        raise ValueError(f"the {self.name} {text!r} is not {self.low} to {self.high}{named}")


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
"""Days of the months that have fewer than 31."""
FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 7, WEEKDAYS),
)
AZUREML_WEEKDAY = _Field("weekday", 0, 6, WEEKDAYS)


def cron(expression: str) -> str:
    """The expression, its fields one space apart; raises ValueError for one that Dagster would refuse or never meet."""
    try:
        return " ".join(_checked(expression.split()))
    except ValueError as error:
        raise ValueError(
            f"{expression!r} is no cron expression: {error}; give minute, hour, day, month and weekday, such as "
            "'0 6 * * *' for each day at 6:00 and '30 6 * * mon-fri' for 6:30 on workdays"
        ) from error


def azureml_cron(expression: str) -> str:
    """The same for a schedule of Azure ML, which takes any day of the month and any month for `*`, without a word.

    https://learn.microsoft.com/azure/machine-learning/how-to-schedule-pipeline-job
    """
    found = cron(expression)
    minute, hour, day, month, weekday = found.split()
    if (day, month) != ("*", "*"):
        raise ValueError(
            f"{expression!r} would run on each day that its weekday allows: Azure ML knows neither day nor month; "
            f"give * for both, as in '{minute} {hour} * * {weekday}'"
        )
    try:
        AZUREML_WEEKDAY.values(weekday)
    except ValueError as error:
        raise ValueError(f"{expression!r} is none for Azure ML: {error}; Sunday is 0 there") from error
    return found


def _checked(parts: list[str]) -> list[str]:
    if len(parts) != len(FIELDS):
        raise ValueError(f"it has {len(parts)} fields, not {len(FIELDS)}")
    _, _, days, months, _ = (field.values(part) for field, part in zip(FIELDS, parts, strict=True))
    if not any(min(days) <= LONGEST.get(month, 31) for month in months):
        raise ValueError(f"no month {parts[3]!r} has a day {parts[2]!r}")
    return parts


# Of its fields a schema tells only how many they are.
_FIVE = Field(json_schema_extra={"pattern": r"^\s*\S+(\s+\S+){4}\s*$"})
Cron = Annotated[str, AfterValidator(cron), _FIVE]
AzureMLCron = Annotated[str, AfterValidator(azureml_cron), _FIVE]
