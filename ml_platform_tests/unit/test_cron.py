"""Cron expressions of a declaration: what is accepted ticks, what is refused is told what to be."""

import pytest
from dagster._utils.schedules import is_valid_cron_string
from pydantic import ValidationError

from ml_platform.core.cron import azureml_cron, cron
from ml_platform.core.product import AutomationSpec
from ml_platform.core.product_monitors import AzureMLMonitorSpec
from ml_platform.core.spec import Spec


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
        (AutomationSpec, "fill", "60 2 * * *", "out of range"),
        (AutomationSpec, "fill", "@daily", "it has 1 fields"),
        (AutomationSpec, "fill", "*/0 * * * *", "step '0' in field 0"),
        (AutomationSpec, "restate", "0 3 0 * *", "out of range"),
        (AutomationSpec, "restate", "0 3 30 feb *", "can never occur"),
        (AutomationSpec, "restate", "0 3 31 4,6 *", "can never occur"),
        (AzureMLMonitorSpec, "read", "0 9 * 13 *", "out of range"),
        (AzureMLMonitorSpec, "read", "0 9 * * sunday", "not acceptable"),
        (AzureMLMonitorSpec, "read", "0 9 * *, *", "not acceptable"),
        (AzureMLMonitorSpec, "runs", "0 6 * * ٣", "not acceptable"),
        (AzureMLMonitorSpec, "runs", "0 6 * * 1#2", "Azure ML: it knows numbers"),
        (AzureMLMonitorSpec, "runs", "0 6 1 * *", r"give \* for both, as in '0 6 \* \* \*'"),
        (AzureMLMonitorSpec, "runs", "0 6 * 1-6 mon", r"give \* for both, as in '0 6 \* \* mon'"),
        (AzureMLMonitorSpec, "runs", "0 6 * * 7", "none for Azure ML: .*Sunday is 0"),
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
