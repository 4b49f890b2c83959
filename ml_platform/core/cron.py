"""Cron expressions in a declaration: five fields that croniter, which Dagster reads them with, understands."""

import re
from typing import Annotated

from croniter import croniter
from pydantic import AfterValidator, Field

FIELDS = 5
_PLAIN = re.compile(r"[\w*,/-]+", re.ASCII)
_SUNDAY_AS_7 = re.compile(r"(?<!/)7")


def cron(expression: str) -> str:
    """The expression, its fields one space apart; raises ValueError for one that is none or never comes true."""
    parts = expression.split()
    try:
        if len(parts) != FIELDS:
            raise ValueError(f"it has {len(parts)} fields, not {FIELDS}")
        croniter.expand(" ".join(parts), strict=True)
    except ValueError as error:
        raise ValueError(
            f"{expression!r} is no cron expression: {error}; give minute, hour, day, month and weekday, such as "
            "'0 6 * * *' for each day at 6:00 and '30 6 * * mon-fri' for 6:30 on workdays"
        ) from error
    return " ".join(parts)


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
    if not all(map(_PLAIN.fullmatch, (minute, hour, weekday))) or _SUNDAY_AS_7.search(weekday):
        raise ValueError(
            f"{expression!r} is none for Azure ML: it knows numbers, names, and * , - / between them; Sunday is 0 there"
        )
    return found


# Of its fields a schema tells only how many they are.
_FIVE = Field(json_schema_extra={"pattern": r"^\s*\S+(\s+\S+){4}\s*$"})
Cron = Annotated[str, AfterValidator(cron), _FIVE]
AzureMLCron = Annotated[str, AfterValidator(azureml_cron), _FIVE]
