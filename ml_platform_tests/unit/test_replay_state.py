"""The file from which an interrupted replay goes on."""

from pathlib import Path

import pytest

from ml_platform.errors import PlatformError
from ml_platform.replay import state as states


def test_what_was_saved_is_what_an_interrupted_replay_finds(tmp_path: Path) -> None:
    state = states.load(tmp_path, "flights", "2013-04-01")
    state.scored, state.done = "2013-04-03", "2013-04-02"
    state.add("score", 1.5)
    state.add("score", 2.0)
    states.save(state, tmp_path)
    found = states.load(tmp_path, "flights", "2013-04-01")
    assert found == state
    assert found.seconds == {"score": 3.5}


@pytest.mark.parametrize(("product", "start"), [("churn", "2013-04-01"), ("flights", "2013-05-01")])
def test_a_home_with_another_replay_is_refused_and_kept(tmp_path: Path, product: str, start: str) -> None:
    states.save(states.load(tmp_path, "flights", "2013-04-01"), tmp_path)
    with pytest.raises(PlatformError, match="--fresh"):
        states.load(tmp_path, product, start)
    assert states.load(tmp_path, "flights", "2013-04-01").start == "2013-04-01"


def test_a_file_that_cannot_be_read_is_named_and_not_taken_for_a_new_replay(tmp_path: Path) -> None:
    (tmp_path / states.FILE).write_text('{"product": "flights", "sta')
    with pytest.raises(PlatformError, match=states.FILE):
        states.load(tmp_path, "flights", "2013-04-01")
