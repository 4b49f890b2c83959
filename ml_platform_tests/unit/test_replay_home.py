"""Whose folder a replay may begin anew in."""

from pathlib import Path

import pytest

from ml_platform.errors import PlatformError
from ml_platform.replay import state as states
from ml_platform.replay.command import remove, replay_settings


def test_beginning_anew_removes_what_a_replay_left(tmp_path: Path) -> None:
    home = tmp_path / "replay"
    home.mkdir()
    states.save(states.load(home, "flight_delays", "2013-04-01"), home)
    (home / "lake").mkdir()
    remove(replay_settings(home), "flight_delays")
    assert not home.exists()


def test_beginning_anew_removes_nothing_from_a_folder_that_is_no_replays(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PlatformError, match="no replay's home"):
        remove(replay_settings(tmp_path), "flight_delays")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_replays_settings_keep_everything_below_its_home_and_alert_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_PLATFORM_LAKE_URI", "abfss://live@account.dfs.core.windows.net")
    monkeypatch.setenv("ML_PLATFORM_ALERT_URLS", "json://127.0.0.1:9/alerts")
    settings = replay_settings(tmp_path)
    kept = (settings.lake_uri, settings.mlflow_tracking_uri, settings.mlflow_artifact_uri)
    assert all(str(tmp_path) in uri for uri in kept)
    assert settings.alert_urls == ()
    assert settings.replay_clock
