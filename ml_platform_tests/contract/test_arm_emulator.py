"""The emulated Resource Manager: the real SDK works with it, and nothing that the service would refuse passes it."""

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ml_platform_tests.contract.arm_calls import PLACE, ask, token
from ml_platform_tests.contract.golden import assert_calls
from ml_platform_tests.emulators.arm.app import routes
from ml_platform_tests.emulators.process import Emulator
from ml_platform_tests.emulators.recording import CONTROL
from ml_platform_tests.emulators.specs import specs_folder

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model

needs_contracts = pytest.mark.skipif(specs_folder() is None, reason="ML_PLATFORM_SPECS is not set")


@pytest.fixture
def name() -> str:
    return f"model-{uuid.uuid4().hex[:8]}"


def model(name: str, version: str = "1", path: str = "models/1", **more: Any) -> "Model":
    from azure.ai.ml.entities import Model

    return Model(
        name=name, version=version, path=f"azureml://datastores/lake/paths/{path}", type="custom_model", **more
    )


def test_a_workspace_tells_where_its_mlflow_and_its_datastores_are(client: "MLClient") -> None:
    from azure.ai.ml.entities import AzureBlobDatastore

    workspace = client.workspaces.get()
    assert workspace is not None and workspace.mlflow_tracking_uri is not None
    assert workspace.mlflow_tracking_uri.startswith("azureml://127.0.0.1:")
    assert workspace.mlflow_tracking_uri.endswith(PLACE.id)
    lake = client.datastores.get("lake")
    assert isinstance(lake, AzureBlobDatastore) and lake.container_name == "lake"
    assert client.datastores.get_default().name == "workspaceblobstore"


def test_a_model_is_registered_by_its_path_and_found_again(
    arm: Emulator, client: "MLClient", name: str, request: pytest.FixtureRequest
) -> None:
    client.models.create_or_update(model(name, tags={"fingerprint": "abc"}))
    client.models.create_or_update(model(name, "2", "models/2"))
    assert client.models.get(name, label="latest").version == "2"
    found = client.models.get(name, "1")
    assert found.tags == {"fingerprint": "abc"}
    assert str(found.path).endswith("/datastores/lake/paths/models/1")
    assert_calls(arm, "register_model", request)


def test_the_tags_of_a_version_change_but_not_its_content(arm: Emulator, client: "MLClient", name: str) -> None:
    from azure.core.exceptions import HttpResponseError

    client.models.create_or_update(model(name))
    client.models.create_or_update(model(name, tags={"gate": "promote"}))
    assert client.models.get(name, "1").tags == {"gate": "promote"}
    with pytest.raises(HttpResponseError, match=f"{name}:1 exists and cannot be changed: modelUri"):
        client.models.create_or_update(model(name, path="models/other"))
    arm.pardon("cannot be changed")


def test_a_model_in_a_datastore_that_is_not_there_is_refused(arm: Emulator, client: "MLClient", name: str) -> None:
    from azure.ai.ml.entities import Model
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError, match="no datastore 'pond'"):
        client.models.create_or_update(Model(name=name, version="1", path="azureml://datastores/pond/paths/x"))
    arm.pardon("no datastore")


def test_code_is_uploaded_once_and_found_by_its_hash(
    arm: Emulator, client: "MLClient", tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from azure.ai.ml.entities._assets import Code

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("print(1)")
    first = client._code.create_or_update(Code(path=str(tmp_path / "code")))
    again = client._code.create_or_update(Code(path=str(tmp_path / "code")))
    assert again.id == first.id
    assert_calls(arm, "upload_code", request)


def test_environments_and_data_are_registered(client: "MLClient", name: str) -> None:
    from azure.ai.ml.entities import Data, Environment

    routes = {f"{each}_route": {"path": f"/{each}", "port": 8080} for each in ("liveness", "readiness", "scoring")}
    image = "crloopback.azurecr.io/scoring:1"
    client.environments.create_or_update(Environment(name=name, version="1", image=image, inference_config=routes))
    assert client.environments.get(name, "1").image == image
    folder = "azureml://datastores/lake/paths/modelDataCollector/"
    client.data.create_or_update(Data(name=name, version="1", path=folder, type="uri_folder"))
    assert client.data.get(name, "1").type == "uri_folder"


@needs_contracts
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"properties": {"modelUri": "azureml://datastores/lake/paths/x", "colour": "red"}}, "colour is unknown"),
        ({"properties": {"modelUri": "azureml://datastores/lake/paths/x"}, "extra": 1}, "extra is unknown"),
        ({"properties": {"modelUri": 7}}, "modelUri is 7, not a string"),
        (
            {"properties": {"modelUri": "azureml://datastores/lake/paths/x", "provisioningState": "Succeeded"}},
            "read-only",
        ),
        ({"id": "x", "properties": {"modelUri": "azureml://datastores/lake/paths/x"}}, "id is read-only"),
        ({}, "properties is required"),
    ],
)
def test_a_body_that_contradicts_the_published_type_is_refused_and_recorded(
    arm: Emulator, name: str, body: dict[str, Any], problem: str
) -> None:
    answer = ask(arm, "PUT", f"/models/{name}/versions/1", body)
    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]
    arm.pardon(problem)
    assert ask(arm, "GET", f"/models/{name}/versions/1").status_code == 404


@needs_contracts
def test_a_wrong_enum_is_refused_whatever_its_case_a_right_one_passes(arm: Emulator, name: str) -> None:
    def put(kind: str, version: str) -> httpx.Response:
        body = {"properties": {"dataType": kind, "dataUri": "azureml://datastores/lake/paths/x"}}
        return ask(arm, "PUT", f"/data/{name}/versions/{version}", body, version="2023-04-01-preview")

    assert put("URI_Folder", "1").status_code == 201
    assert put("table", "2").status_code == 400
    arm.pardon("dataType is 'table'")


@pytest.mark.parametrize(
    ("version", "code"), [("", "MissingApiVersionParameter"), ("2019-01-01", "NoRegisteredProviderFound")]
)
def test_an_api_version_that_no_one_published_is_refused(arm: Emulator, version: str, code: str) -> None:
    if version and specs_folder() is None:
        pytest.skip("ML_PLATFORM_SPECS is not set")
    answer = ask(arm, "GET", "/models/m/versions/1", version=version)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    arm.pardon("api-version|API version")


def test_a_route_that_nobody_knows_is_recorded_and_fails_the_test(arm: Emulator) -> None:
    assert ask(arm, "GET", "/unicorns/1").status_code == 404
    assert ask(arm, "DELETE", "/datastores/lake").status_code == 404  # a known path, another method
    with pytest.raises(AssertionError, match="unknown route: GET .*/unicorns/1"):
        arm.assert_clean()
    assert len(arm.record()["unknown_routes"]) == 2
    arm.clear()


def test_another_workspace_is_not_found(arm: Emulator) -> None:
    from azure.ai.ml import MLClient
    from azure.core.exceptions import ResourceNotFoundError
    from azure.identity import DefaultAzureCredential

    client = MLClient(DefaultAzureCredential(), PLACE.subscription, PLACE.group, "ws-elsewhere")
    with pytest.raises(ResourceNotFoundError, match="ws-elsewhere"):
        client.datastores.get("lake")


def test_a_long_running_operation_is_polled_to_its_end(arm: Emulator, client: "MLClient", name: str) -> None:
    client.models.create_or_update(model(name))
    answer = ask(arm, "DELETE", f"/models/{name}/versions/1")
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    polled = answer.headers["azure-asyncoperation"].removeprefix(arm.address + PLACE.id)
    assert polled.startswith(arm.address)
    status = httpx.get(polled, headers={"Authorization": f"Bearer {token(arm)}"}, verify=arm.cloud.trust).json()[
        "status"
    ]
    assert status == "Succeeded"
    assert ask(arm, "GET", f"/models/{name}/versions/1").status_code == 404


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        ({"seconds": -1}, "ExpiredAuthenticationToken"),
        ({"audience": "https://storage.azure.com"}, "InvalidAuthenticationTokenAudience"),
        ({"key": "somebody else's"}, "InvalidAuthenticationToken"),
    ],
)
@pytest.mark.parametrize("path", ["", "/datastores/lake", "/models/m/versions/1", "/codes/c/versions/1", "/unicorns"])
def test_no_route_takes_an_expired_or_a_foreign_token(
    arm: Emulator, path: str, bearer: dict[str, Any], code: str
) -> None:
    answer = ask(arm, "GET", path, bearer=token(arm, **bearer))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_no_route_at_all_is_open_to_an_expired_token(arm: Emulator) -> None:
    headers = {"Authorization": f"Bearer {token(arm, seconds=-1)}"}
    with httpx.Client(base_url=arm.address, headers=headers, verify=arm.cloud.trust) as http:
        for route in (each for each in routes() if not each.path.startswith(CONTROL)):
            for method in (route.methods or set()) - {"HEAD"}:
                answer = http.request(method, re.sub(r"{[^}]+}", "x", route.path))
                assert answer.status_code == 401, f"{method} {route.path}"


def test_a_managed_identity_gives_a_token_only_to_who_has_its_header(arm: Emulator) -> None:
    url, asked = f"{arm.addresses[1]}/msi/token", {"resource": "https://management.azure.com"}
    assert httpx.get(url, params=asked, headers={"X-IDENTITY-HEADER": arm.cloud.secret}).status_code == 200
    assert httpx.get(url, params=asked, headers={"X-IDENTITY-HEADER": "guessed"}).status_code == 401
