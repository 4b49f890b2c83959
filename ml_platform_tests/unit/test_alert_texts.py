"""What an alert may say: bounded, and without a secret. Where alerts go is a secret of the settings."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_platform.errors import SettingsError
from ml_platform.gateways.alerts.address import addresses
from ml_platform.gateways.alerts.alert import Alert, presentable
from ml_platform.settings import Settings

ALERT = Alert(
    "failed run", "k", "title", "what", "evidence", "http://127.0.0.1:3000/runs/1", datetime(2013, 3, 5, tzinfo=UTC)
)
SECRET = "hunter2"
URL = f"json://ada:{SECRET}@127.0.0.1:9/alerts"
SLACK = f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}"


@pytest.mark.parametrize(
    "said",
    [
        f"cannot connect to postgresql://dagster:{SECRET}@db:5432/dagster",
        f"cannot connect to postgresql://dagster:p@{SECRET}@db:5432/dagster",
        f"GET https://lake.dfs.core.windows.net/x?sv=1&sig={SECRET}&se=2 failed",
        f"AccountName=lake;AccountKey={SECRET};EndpointSuffix=core",
        f"Authorization: Bearer {SECRET}",
        f'{{"client_secret": "{SECRET}", "tenant": "t"}}',
        f"ML_PLATFORM_PASSWORD={SECRET}",
        "told " + URL,
        "told " + SLACK,
    ],
)
def test_a_secret_in_what_failed_is_not_in_the_alert(said):
    told = presentable(replace(ALERT, title=said, what=said, evidence=said, link=said), [URL, SLACK])
    assert SECRET not in repr(told)


def test_what_is_no_secret_is_said_as_it_is():
    alert = replace(
        ALERT,
        what="origin_is_known failed on 2013-03-05: 3 of 9 rows unexpected; design: a=1, keys: 4",
        link="http://127.0.0.1:3000/assets/lake/flights?view=checks&checkDetail=origin_is_known",
    )
    assert presentable(alert) == alert


def test_an_alert_fits_the_smallest_of_the_usual_services():
    long = presentable(replace(ALERT, title="t" * 9999, what="w" * 9999, evidence="e" * 999_999, link="l" * 9999))
    assert len(long.title + long.what + long.evidence + long.link) < 2000 - 100


def test_the_addresses_of_alerts_are_read_from_the_environment_and_never_shown(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ML_PLATFORM_ALERT_URLS", f"{URL}  jsons://127.0.0.1/x")
    settings = Settings(home=tmp_path)
    assert [url.get_secret_value() for url in settings.alert_urls] == [URL, "jsons://127.0.0.1/x"]
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize("value", [f"127.0.0.1/{SECRET}", f"{URL} {SECRET}"])
def test_an_address_without_a_scheme_is_refused_without_saying_it(monkeypatch, tmp_path: Path, value):
    monkeypatch.setenv("ML_PLATFORM_ALERT_URLS", value)
    with pytest.raises(SettingsError, match="of ML_PLATFORM_ALERT_URLS has no scheme") as refused:
        Settings(home=tmp_path)
    assert SECRET not in _whole(refused.value)


def test_no_wrong_setting_is_shown_with_its_value(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ML_PLATFORM_TRAINING_THREADS", SECRET)
    with pytest.raises(ValidationError) as refused:
        Settings(home=tmp_path, alert_urls=7)  # pyright: ignore[reportArgumentType]
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}", f"slack://{SECRET}/B", f"mailto://ada:{SECRET}@", "json://"])
def test_an_address_that_no_service_understands_is_refused_without_saying_it(caplog, url):
    caplog.set_level(1)
    with pytest.raises(SettingsError, match="Address 2 of ML_PLATFORM_ALERT_URLS is not one") as refused:
        addresses([URL, url])
    assert SECRET not in _whole(refused.value) + caplog.text


def _whole(error: BaseException | None) -> str:
    return f"{error!r} {_whole(error.__cause__ or error.__context__)}" if error else ""
