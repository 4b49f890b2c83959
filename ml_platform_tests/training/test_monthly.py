"""The models of a replay's arm that is retrained every month: the platform's own training, on what was known."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ml_platform.components.declared import declared_product
from ml_platform.core.product import ProductSpec
from ml_platform.errors import PlatformError
from ml_platform.gateways.lake import Lake
from ml_platform.replay.first import FirstModel, score
from ml_platform.replay.monthly import MonthlyModels, later_months
from ml_platform.training.contract import Days, Tracking, TrainingRequest
from ml_platform.training.train import train
from ml_platform_tests.training.conftest import features, make_request, write

REPLAYED = Days("2013-01-20", "2013-02-08")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake").as_uri())
    write(features(), Path(lake.table(("features", "flight_delays")).removeprefix("file://")))
    return lake


@pytest.fixture(scope="module")
def product() -> ProductSpec:
    product = declared_product("flight_delays")
    split = product.model.split.model_copy(update={"validation_days": 5, "holdout_days": 5})
    model = product.model.model_copy(update={"split": split})
    return product.model_copy(update={"model": model, "start": features()["day"].min()})


class First:
    """A first model of which only the parameters are asked."""

    parameters = {"n_estimators": 20, "min_child_samples": 50}


def models(folder: Path, lake: Lake, product: ProductSpec) -> MonthlyModels:
    return MonthlyModels(folder, lake, product, cast(FirstModel, First()))


def test_a_month_s_model_is_the_platform_s_own_of_what_was_final_when_it_began(
    lake: Lake, product: ProductSpec, tmp_path: Path, tracking: Tracking
) -> None:
    assert list(later_months(product, REPLAYED)) == [("2013-02", "2013-01-30")]
    made = models(tmp_path / "monthly", lake, product)
    made.begin(REPLAYED)
    ((month, directory),) = made.directories(REPLAYED)
    assert month == "2013-02"
    request: Any = made._training(Days(product.start.isoformat(), "2013-01-30"))
    own: TrainingRequest = make_request(request.features.uri, tracking)
    report = train(TrainingRequest(**{**vars(request), "tracking": own.tracking}), [].append)
    assert report.parts["holdout"].days.end == "2013-01-30"
    events: Any = features()[features()["day"].astype(str) >= "2013-02-01"]
    served = FirstModel(tracking.uri, tracking.model, report.version).score(events, threads=1)
    np.testing.assert_array_equal(score(directory, events, threads=1), served)
    assert len(set(served.tolist())) > 100


def test_a_model_that_is_there_is_not_trained_again_and_one_that_cannot_be_is_named(
    lake: Lake, product: ProductSpec, tmp_path: Path
) -> None:
    (tmp_path / "2013-02").mkdir(parents=True)
    made = models(tmp_path, lake, product)
    assert [month for month, _ in made.directories(REPLAYED)] == ["2013-02"]
    assert not (tmp_path / "2013-02.json").exists()
    with pytest.raises(PlatformError, match="the model of 2013-03 could not be trained"):
        # Of March nothing has landed: its model's holdout has no rows.
        list(made.directories(Days("2013-01-20", "2013-03-02")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2013-02", "2013-03.json"]
