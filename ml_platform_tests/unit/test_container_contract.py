"""What a container refuses to start with, and how declarations pass through Azure ML's resources and back."""

from pathlib import Path

import msgspec
import pytest

from ml_platform.errors import EndpointError, SettingsError
from ml_platform.gateways.endpoints import AzureEndpoints, Deployment, EndpointDeclaration, Hosting
from ml_platform.gateways.endpoints.azureml_deployment import asset, contained_in, contained_of, is_equal, restored
from ml_platform.scoring.container import serving_directory
from ml_platform.scoring.container_contract import (
    BEHIND,
    BEHIND_VARIABLE,
    DECLARATION_VARIABLE,
    MODEL_VARIABLE,
    contained,
)
from ml_platform_tests.serving_directories import write_serving_directory

LAKE = "abfss://lake@account.dfs.core.windows.net"
HOSTING = Hosting("/subscriptions/S/resourceGroups/R/providers/P/workspaces/W", "azureml:scoring:3")


def declaration(models: Path) -> EndpointDeclaration:
    found = tuple(
        Deployment(name, "flights", version, str(models / "flights" / version))
        for name, version in (("blue", "1"), ("green", "12"))
    )
    keys = (("carrier", "flight"), "sched_dep_at")
    return EndpointDeclaration("flight_delays", found, {"blue": 90, "green": 10}, *keys, port=7000, workers=3)


def environment(declared: EndpointDeclaration) -> dict[str, str]:
    told = msgspec.json.encode(contained_of(declared, declared.deployments[0], LAKE)).decode()
    return {BEHIND_VARIABLE: BEHIND, DECLARATION_VARIABLE: told, MODEL_VARIABLE: "/model"}


def test_a_container_says_what_it_lacks(tmp_path: Path) -> None:
    given = environment(declaration(tmp_path))
    assert contained(given).deployment.name == "blue"
    with pytest.raises(ValueError, match=f"without a key.*{BEHIND_VARIABLE}=front-end"):
        contained(given | {BEHIND_VARIABLE: "yes"})
    with pytest.raises(ValueError, match="AZUREML_MODEL_DIR.* must be set"):
        contained(given | {MODEL_VARIABLE: ""})
    with pytest.raises(ValueError, match="is no declaration"):
        contained(given | {DECLARATION_VARIABLE: "{}"})


def test_the_model_is_found_wherever_it_was_laid_out_and_only_one_is_served(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it has 0"):
        serving_directory(tmp_path)
    found = write_serving_directory(tmp_path / "model/data/serving")
    assert serving_directory(tmp_path) == found
    write_serving_directory(tmp_path / "other")
    with pytest.raises(ValueError, match="it has 2"):
        serving_directory(tmp_path)


def test_a_declaration_is_restored_exactly_from_what_the_service_holds(tmp_path: Path) -> None:
    declared = declaration(tmp_path)
    there = [HOSTING.deployment(declared, each, LAKE, "") for each in reversed(declared.deployments)]
    assert restored("flight_delays", there, {"green": 10, "blue": 90}, {}, tmp_path) == declared
    mirrored = msgspec.structs.replace(declared, traffic={"blue": 100}, mirror={"green": 50})
    there = [HOSTING.deployment(mirrored, each, LAKE, "") for each in mirrored.deployments]
    assert restored("flight_delays", there, {"blue": 100, "green": 0}, {"green": 50}, tmp_path) == mirrored


def test_what_is_left_of_an_endpoint_without_a_deployment_answers_nobody() -> None:
    assert restored("flight_delays", [], {"gone": 100}, {}, Path("/m")).traffic == {}


def test_deployments_are_equal_by_what_they_run_and_not_by_their_shares(tmp_path: Path) -> None:
    declared = declaration(tmp_path)
    blue, green = declared.deployments

    def made(hosting: Hosting = HOSTING, deployment: Deployment = blue, **more: object) -> object:
        return hosting.deployment(msgspec.structs.replace(declared, **more), deployment, LAKE, "")

    assert is_equal(made(), made(traffic={"green": 100}, mirror={}))  # pyright: ignore
    as_answered = made()
    as_answered.model = f"{HOSTING.workspace}/models/flights/versions/1"  # pyright: ignore
    assert is_equal(made(), as_answered)  # pyright: ignore
    for other in (
        made(deployment=green),
        made(workers=2),
        made(max_concurrent_requests=9),
        made(Hosting(HOSTING.workspace, "azureml:scoring:4")),
        made(Hosting(HOSTING.workspace, HOSTING.environment, instances=2)),
    ):
        assert not is_equal(made(), other)  # pyright: ignore


def test_names_fit_the_service_and_differ_between_workspaces() -> None:
    name = HOSTING.endpoint_name("a_product_with_a_name_that_is_long")
    assert len(name) <= 32
    assert name.startswith("a-product-with-a-name-tha-")
    other = Hosting(HOSTING.workspace.replace("/W", "/X"), HOSTING.environment)
    assert name != other.endpoint_name("a_product_with_a_name_that_is_long")
    with pytest.raises(EndpointError, match="must begin with a letter"):
        HOSTING.endpoint_name("../x")


def test_assets_are_known_by_either_name() -> None:
    assert asset("azureml:flights:12") == asset("/sub/workspaces/W/models/flights/versions/12") == ("flights", "12")
    assert contained_in({"OTHER": "1"}) is None


def test_a_lake_or_an_environment_that_endpoints_cannot_have_is_told_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ML_PLATFORM_LAKE_URI is 'file:///x'"):
        AzureEndpoints(HOSTING, "file:///x", tmp_path)
    with pytest.raises(SettingsError, match="ML_PLATFORM_AZUREML_SCORING_ENVIRONMENT is empty"):
        AzureEndpoints(Hosting(HOSTING.workspace, ""), LAKE, tmp_path)
