"""A person approves a roll-out and goes back on the command line, and what stands is on record."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from ml_platform.cli import app
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.registry import Registry, initialise
from ml_platform_tests.contract.rollouts import QUICK, make_champion
from ml_platform_tests.e2e.line import PRODUCT, Line, copy_of, environment_of


@pytest.fixture
def quick(line: Line, monkeypatch: pytest.MonkeyPatch) -> ProductSpec:
    """The product with quick stages and a person's approval, also for the command line."""
    rollout = QUICK.model_copy(update={"approval": "manual"})
    product = line.product.model_copy(
        update={"endpoint": line.product.endpoint.model_copy(update={"rollout": rollout})}
    )
    monkeypatch.setattr("ml_platform.rollouts.declared_product", lambda _: product)
    return product


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_version_is_approved_and_taken_back_on_the_command_line(
    line: Line, tmp_path: Path, quick: ProductSpec
) -> None:
    with copy_of(line, tmp_path / "home") as other, environment_of(other.settings):
        settings, endpoints = other.settings, other.gateways.endpoints
        other.materialise([keys.endpoint(PRODUCT)])
        initialise(settings.mlflow_tracking_uri, "training", settings.home / "models", settings.mlflow_artifact_uri)
        client = MlflowClient(settings.mlflow_tracking_uri)
        registry = Registry(client, settings.home / "models")
        version = make_champion(client, registry, PRODUCT, registry.serving_directory(PRODUCT, "1"))
        from ml_platform.stages.serving import rollout_of

        assert rollout_of(quick, endpoints, registry, settings).run(PRODUCT, version).status == "waiting"
        assert f"version {version} of {PRODUCT} serves, approved by ada" in said("approve", PRODUCT, "--by", "ada")
        state = endpoints.state(PRODUCT)
        assert state and state.serving and state.serving.model_version == version
        shown = other.metadata(keys.endpoint(PRODUCT))
        assert (shown["version"].value, "probe: 502 records" in str(shown["seen"].value)) == (version, True)
        assert "version 1 of flight_delays serves again" in said("rollback", PRODUCT, "--by", "bob")
        state, champion = endpoints.state(PRODUCT), registry.champion(PRODUCT)
        assert state and state.serving and state.serving.model_version == "1"
        assert champion and champion.version == "1"
        assert "by bob" in registry.get(PRODUCT, version).tags["gate_reasons"]
        assert other.metadata(keys.champion(PRODUCT))["version"].value == "1"
