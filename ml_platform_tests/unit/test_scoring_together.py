"""Requests that arrive together are scored together, and answered as if each had come alone."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.scoring.serving import NoProbability, Serving
from ml_platform.scoring.state import Declared, Deployment, EndpointDeclaration
from ml_platform.scoring.together import MOST_WAITING, Scored, Together
from ml_platform_tests.serving_directories import RECORD, write_failing_directory, write_serving_directory


def served(directory: Path) -> Serving:
    deployment = Deployment("blue", "flights", "1", str(directory))
    endpoint = EndpointDeclaration("delays", (deployment,), {"blue": 100}, ("flight_id",), "sched_dep_at")
    return Serving(Declared(1, endpoint, str(directory / "log")), deployment)


def scored(serving: Serving, *turns: list[list[dict[str, Any]]]) -> list[Any]:
    """What becomes of requests that arrive in one turn of the event loop, or in several that follow each other."""

    async def ask() -> list[Any]:
        together, asked = Together(), []
        reader = serving.reader
        for requests in turns:
            records = [[reader.read(msgspec.json.encode(record))[0] for record in request] for request in requests]
            asked += [asyncio.ensure_future(together.score(serving, each)) for each in records]
            await asyncio.sleep(0)
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


@pytest.fixture
def model_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of a model."""
    calls: list[int] = []
    original = ServingModel.score_matrix

    def counted(self: ServingModel, matrix: np.ndarray) -> np.ndarray:
        calls.append(len(matrix))
        return original(self, matrix)

    monkeypatch.setattr(ServingModel, "score_matrix", counted)
    return calls


def far(distance: float) -> dict[str, Any]:
    return RECORD | {"distance": distance}


def test_what_comes_in_one_turn_is_one_call_of_a_model_that_scores_row_by_row(
    tmp_path: Path, model_calls: list[int]
) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    serving.row_by_row = True
    requests = [[far(n) for n in range(size)] for size in (1, 3, 2)]
    alone = [serving.score(serving.reader.read(msgspec.json.encode({"records": request}))) for request in requests]
    model_calls.clear()
    assert [each.probabilities for each in scored(serving, requests)] == [pytest.approx(each) for each in alone]
    assert model_calls == [6]


def test_what_comes_in_turns_that_follow_each_other_is_one_call_too(tmp_path: Path, model_calls: list[int]) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    model_calls.clear()
    scored(serving, [[far(1.0)], [far(2.0)]], [[far(3.0)]], [[far(4.0)]])
    assert model_calls == [4]


def test_a_turn_that_brings_nothing_ends_the_wait(tmp_path: Path, model_calls: list[int]) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    model_calls.clear()
    scored(serving, [[far(1.0)]], [], [], [[far(2.0)]])
    assert model_calls == [1, 1]


def test_nobody_waits_for_callers_without_end(tmp_path: Path, model_calls: list[int]) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    model_calls.clear()
    scored(serving, *([[far(n)]] * 16 for n in range(MOST_WAITING // 16 + 1)))
    assert model_calls == [MOST_WAITING, 16]


def test_a_model_that_rounds_by_place_is_asked_about_each_request(tmp_path: Path, model_calls: list[int]) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    serving.row_by_row = False
    model_calls.clear()
    scored(serving, [[far(1.0)], [far(2.0), far(3.0)]])
    assert model_calls == [1, 2]


def test_a_request_that_fails_fails_alone(tmp_path: Path) -> None:
    serving = served(write_failing_directory(tmp_path / "model"))
    assert not serving.row_by_row
    serving.row_by_row = True
    good, bad, also_good = scored(serving, [[far(0.5)], [far(5.0)], [far(-0.5)]])
    assert isinstance(good, Scored)
    assert isinstance(also_good, Scored)
    assert isinstance(bad, Exception)
    assert not isinstance(bad, NoProbability)


def test_the_time_of_a_request_is_what_its_model_took_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = served(write_serving_directory(tmp_path / "model"))
    original = ServingModel.score_matrix

    def waiting(self: ServingModel, matrix: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.3)
        return original(self, matrix)

    monkeypatch.setattr(ServingModel, "score_matrix", waiting)
    (found,) = scored(serving, [[far(1.0)]])
    assert 0 < found.seconds < 0.2
