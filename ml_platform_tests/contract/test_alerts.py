"""Alerts are kept once, told to every address at least once, and outlive a restart; no address is ever shown."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_platform.gateways.alerts import Alert, Alerts, ledger
from ml_platform_tests.contract.alert_receiver import Receiver, receiver

NOBODY = "json://ada:hunter2@127.0.0.1:1/opensesame"


def alert(key: str) -> Alert:
    return Alert("failed run", key, f"title {key}", "what", "evidence", "link", datetime(2013, 3, 5, 4, 5, tzinfo=UTC))


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as receives:
        yield receives


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "alerts.db"


def test_an_alert_says_what_happened_the_evidence_and_the_link(service, path):
    alerts = Alerts(path, [service.url])
    assert alerts.send(alert("a"))
    assert alerts.deliver() == []
    (told,) = service.taken
    assert told["title"] == "title a"
    assert told["message"] == "what\n\nevidence\n\n2013-03-05 04:05 UTC\n\nlink"
    assert told["type"] == "failure"


def test_an_alert_is_told_once_also_after_a_restart(service, path, monkeypatch):
    new = []
    for _ in range(3):
        alerts = Alerts(path, [service.url])
        new.append(alerts.send(alert("a")))
        alerts.deliver()
        _wait(monkeypatch, ledger.LEASE_SECONDS + 1)
    assert service.titles == ["title a"]
    assert new == [True, False, False]


def test_alerts_are_kept_without_any_address(path):
    alerts = Alerts(path)
    alerts.send(alert("a"))
    alerts.send(alert("b"))
    assert alerts.deliver() == []
    assert Alerts(path).kept() == [alert("b"), alert("a")]


def test_an_address_that_fails_holds_no_other_and_is_told_later(service, path):
    with receiver() as other:
        alerts = Alerts(path, [service.url, other.url])
        service.refuses = lambda title: True
        for key in "abc":
            alerts.send(alert(key))
        assert alerts.deliver() == ["1 json"]
        assert other.titles == ["title a", "title b", "title c"]
        assert service.asked == 1
        service.refuses = lambda title: False
        assert alerts.deliver() == []
        assert sorted(service.titles) == ["title a", "title b", "title c"]
        assert len(other.taken) == 3


def test_an_alert_that_an_address_never_takes_holds_no_other(service, path):
    alerts = Alerts(path, [service.url])
    service.refuses = lambda title: title == "title a"
    for key in "abc":
        alerts.send(alert(key))
    assert alerts.deliver() == ["1 json"]
    alerts.deliver()
    assert service.titles == ["title b", "title c"]


def test_an_alert_whose_teller_was_killed_is_told_by_another(service, path, monkeypatch):
    alerts = Alerts(path, [service.url])
    alerts.send(alert("a"))
    ledger.Ledger(path).take("1 json")
    alerts.deliver()
    assert service.taken == [], "it may still be on its way"
    _wait(monkeypatch, ledger.LEASE_SECONDS + 1)
    alerts.deliver()
    assert service.titles == ["title a"]


def test_a_new_address_is_not_told_the_past(service, path):
    Alerts(path).send(alert("past"))
    alerts = Alerts(path, [service.url])
    alerts.send(alert("now"))
    alerts.deliver()
    assert service.titles == ["title now"]


def test_an_address_that_fails_for_days_is_given_up(service, path, monkeypatch):
    alerts = Alerts(path, [service.url])
    alerts.send(alert("a"))
    _wait(monkeypatch, (ledger.GIVE_UP_DAYS + 0.1) * ledger.DAY_SECONDS)
    alerts.send(alert("b"))
    alerts.deliver()
    assert service.titles == ["title b"]
    assert len(alerts.kept()) == 2


def test_two_processes_keep_one_alert_once(path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        new = pool.starmap(_send, [(path, key) for key in "abab" * 5])
    assert sum(new) == 2


def test_no_part_of_an_address_is_in_a_log_an_error_or_the_ledger(service, path, caplog, capfd):
    caplog.set_level(1)
    alerts = Alerts(path, [service.url, NOBODY])
    alerts.send(replace(alert("a"), what=f"told {NOBODY}"))
    failed = alerts.deliver()
    service.refuses = lambda title: True
    alerts.send(alert("b"))
    failed += alerts.deliver()
    assert failed == ["2 json", "1 json", "2 json"]
    shown = f"{alerts!r}{failed}{caplog.text}{''.join(capfd.readouterr())}{path.read_bytes()!r}"
    assert "hunter2" not in shown and "opensesame" not in shown


def _wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let this much time pass for the ledger."""
    later = ledger.time.time() + seconds
    monkeypatch.setattr(ledger.time, "time", lambda: later)


def _send(path: Path, key: str) -> bool:
    return Alerts(path).send(alert(key))
