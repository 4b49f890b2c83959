"""What `ml-platform up` starts: MLflow's UI only where no server keeps what it shows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_platform import services
from ml_platform.services import user_interfaces
from ml_platform.settings import Settings
from ml_platform.supervision import Service

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
STUDIO = f"https://ml.azure.com/experiments?wsid={WORKSPACE}"
AZURE = {
    "mlflow_tracking_uri": f"azureml://westeurope.api.azureml.ms/mlflow/v1.0{WORKSPACE}",
    "azureml_workspace": WORKSPACE,
}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mapping[str, str]]:
    """The environment of each service that would have been started, by its module."""
    found: dict[str, Mapping[str, str]] = {}

    @contextmanager
    def supervised(kept: Sequence[Service], _: Path, environment: Mapping[str, str], __: Path) -> Iterator[None]:
        found.update({service.module: environment for service in kept})
        yield

    monkeypatch.setattr(services, "supervised", supervised)
    monkeypatch.delenv("ML_PLATFORM_MLFLOW_UI", raising=False)
    return found


def shown(home: Path, **told: str) -> dict[str, str]:
    settings = Settings(home=home, **told)  # type: ignore[arg-type]
    settings.dagster_home.mkdir(parents=True)
    with user_interfaces(settings) as pages:
        return {page.name: page.url for page in pages}


def test_on_a_laptop_both_are_started(started: dict[str, Mapping[str, str]], tmp_path: Path):
    pages = shown(tmp_path)
    assert {"mlflow", "dagster_webserver", "dagster._daemon"} < set(started)
    assert set(pages) == {"Dagster UI", "MLflow"}
    assert started["dagster._daemon"]["ML_PLATFORM_MLFLOW_UI"] == pages["MLflow"]


@pytest.mark.parametrize(
    ("told", "page"),
    [
        (AZURE, STUDIO),
        (AZURE | {"mlflow_ui": "https://ml.azure.com/elsewhere"}, "https://ml.azure.com/elsewhere"),
        (
            {"mlflow_tracking_uri": "https://mlflow.example", "mlflow_ui": "https://shown.example"},
            "https://shown.example",
        ),
    ],
)
def test_where_a_server_tracks_its_page_is_shown_and_none_is_started(
    started: dict[str, Mapping[str, str]], tmp_path: Path, told: dict[str, str], page: str
):
    assert shown(tmp_path, **told)["MLflow"] == page
    assert "mlflow" not in started
    assert {"dagster_webserver", "dagster._daemon"} < set(started)
