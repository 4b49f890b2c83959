"""Calls to Databricks are tried again where that may help, and no error shows a token."""

import pytest
import requests
from databricks.sdk.errors.parser import _Parser

from ml_platform.gateways.jobs.databricks.client import steadily


def answered(status: int, body: str) -> Exception:
    """What the SDK makes of an answer to a call with a token."""
    response = requests.Response()
    response.status_code, response._content, response.reason = status, body.encode(), "Said so"
    response.request = requests.Request(
        "GET", "https://adb/api/2.2/jobs/runs/get", headers={"Authorization": "Bearer canary-token"}
    ).prepare()
    error = _Parser().get_api_error(response)
    assert error is not None
    return error


def test_an_answer_that_is_none_of_databricks_does_not_show_the_token():
    error = answered(403, "<html>Sign in to the proxy</html>")
    assert "canary-token" in str(error), "the SDK does not show it any more: the gateway need not hide it"

    def call() -> None:
        raise error

    with pytest.raises(type(error)) as told:
        steadily(call)
    assert str(told.value) == "an answer that is none of Databricks: 403 Said so"


@pytest.mark.parametrize("status", [500, 502, 504, 401])
def test_an_answer_that_passes_is_waited_for(monkeypatch: pytest.MonkeyPatch, status: int):
    monkeypatch.setattr("databricks.sdk.clock.RealClock.sleep", lambda *_: None)
    answers = [answered(status, "{}"), None]

    def call() -> str:
        if error := answers.pop(0):
            raise error
        return "done"

    assert steadily(call) == "done"


@pytest.mark.parametrize(("status", "times"), [(400, 1), (403, 1), (404, 1), (401, 3)])
def test_an_answer_that_stays_is_told_at_once(monkeypatch: pytest.MonkeyPatch, status: int, times: int):
    monkeypatch.setattr("databricks.sdk.clock.RealClock.sleep", lambda *_: None)
    error, calls = answered(status, '{"error_code": "X", "message": "no"}'), []

    def call() -> None:
        calls.append(status)
        raise error

    with pytest.raises(type(error), match="no"):
        steadily(call)
    assert len(calls) == times
