"""Cron expressions of a declaration: what is accepted ticks, what is refused is told what to be."""

from datetime import UTC, datetime

import pytest
from dagster._utils.schedules import cron_string_iterator, has_out_of_range_cron_interval, is_valid_cron_string
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_platform.core.cron import FIELDS, azureml_cron, cron
from ml_platform.core.product import AutomationSpec
from ml_platform.core.product_monitors import AzureMLMonitorSpec
from ml_platform.core.spec import Spec

NOW = datetime(2013, 1, 1, tzinfo=UTC).timestamp()


def _parts(low: int, high: int, names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A field, mostly a right one."""
    whole = st.integers(low, high)
    ranges = st.tuples(whole, whole).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(ranges | st.just("*"), st.integers(1, high)).map(lambda each: f"{each[0]}/{each[1]}")
    listed = st.lists(whole.map(str) | ranges | stepped, min_size=1, max_size=2).map(",".join)
    return st.just("*") | listed | (st.sampled_from(names) if names else listed)


EXPRESSIONS = st.tuples(*(_parts(each.low, each.high, each.names) for each in FIELDS)).map(" ".join)


@settings(deadline=None)
@given(EXPRESSIONS)
def test_what_is_accepted_dagster_accepts_and_meets(expression: str) -> None:
    try:
        accepted = cron(expression)
    except ValueError as error:
        assert expression in str(error)
        return
    assert is_valid_cron_string(accepted) and not has_out_of_range_cron_interval(accepted)
    next(cron_string_iterator(NOW, accepted, "UTC"))


@pytest.mark.parametrize(
    "expression",
    [
        "0 2 * * *",
        "*/15 * * * *",
        "0,30 6-18/2 * * mon-fri",
        "00 06 1 JAN,jul *",
        "0 3 * * 0",
        "0 3 * * 7",
        "0 0 29 2 *",
        "0 0 31 1,2 *",
        "59 23 31 12 6",
    ],
)
def test_what_people_write_is_accepted(expression: str) -> None:
    assert cron(expression) == expression
    assert is_valid_cron_string(expression)


def test_fields_end_up_a_space_apart_as_azure_ml_needs_them() -> None:
    assert AzureMLMonitorSpec.model_validate({"runs": " 0  6\t* * 1-5 "}).runs == "0 6 * * 1-5"


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        (AutomationSpec, "fill", "", "it has 0 fields, not 5; give minute, hour, day"),
        (AutomationSpec, "fill", "60 2 * * *", "the minute '60' is not 0 to 59"),
        (AutomationSpec, "fill", "*/90 * * * *", r"the minute '\*/90' has a step of 90, which must be 1 to 59"),
        (AutomationSpec, "fill", "*/0 * * * *", "has a step of 0"),
        (AutomationSpec, "restate", "0 22-2 * * *", "the hour '22-2' does not rise: list its parts"),
        (AutomationSpec, "restate", "0 3 0 * *", "the day '0' is not 1 to 31"),
        (AutomationSpec, "restate", "0 3 L * *", "the day 'L' is not 1 to 31"),
        (AutomationSpec, "restate", "0 3 30 feb *", "no month 'feb' has a day '30'"),
        (AutomationSpec, "restate", "0 3 31 4,6 *", "no month '4,6' has a day '31'"),
        (AzureMLMonitorSpec, "read", "0 9 * 13 *", "the month '13' is not 1 to 12 or jan to dec"),
        (AzureMLMonitorSpec, "read", "0 9 * * sunday", "the weekday 'sunday' is not 0 to 7 or sun to sat"),
        (AzureMLMonitorSpec, "read", "0 9 * *, *", "the month '' is not 1 to 12"),
        (AzureMLMonitorSpec, "runs", "0 6 * * ٣", "the weekday '٣' is not 0 to 7"),
        (AzureMLMonitorSpec, "runs", "0 6 1 * *", r"give \* for both, as in '0 6 \* \* \*'"),
        (AzureMLMonitorSpec, "runs", "0 6 * 1-6 mon", r"give \* for both, as in '0 6 \* \* mon'"),
        (AzureMLMonitorSpec, "runs", "0 6 * * 7", "none for Azure ML: the weekday '7' is not 0 to 6.*Sunday is 0"),
    ],
)
def test_what_is_no_cron_is_refused_with_its_field_its_value_and_what_to_give(
    part: type[Spec], field: str, value: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        part.model_validate({field: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (field,) and repr(value) in error["msg"]


@pytest.mark.parametrize("part", [AutomationSpec(), AzureMLMonitorSpec()])
def test_the_defaults_are_such_expressions(part: Spec) -> None:
    assert type(part).model_validate(part.model_dump()) == part


def test_azure_ml_is_asked_for_nothing_that_it_would_not_do() -> None:
    assert azureml_cron("*/30 0-6 * * sun,2-4/2") == "*/30 0-6 * * sun,2-4/2"
