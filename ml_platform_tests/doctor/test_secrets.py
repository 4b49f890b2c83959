"""What is a secret, or looks like one, is shown by nobody, whoever says it."""

import pytest
from pydantic import SecretStr

from ml_platform.doctor.secrets import hider
from ml_platform.settings import Settings

CANARY = "c4n4ry/+w1th=odd&chars"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJvaWQiOiI1NSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    [
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "DATABRICKS_TOKEN",
        "DATABRICKS_CLIENT_SECRET",
        "IDENTITY_HEADER",
        "MLFLOW_TRACKING_PASSWORD",
        "AZURE_STORAGE_CONNECTION_STRING",
    ],
)
@pytest.mark.parametrize("said", ["{}", "?{}&more", "https://x/{}", "'{}'"])
def test_the_value_of_a_variable_that_holds_a_secret_is_hidden_wherever_it_stands(name: str, said: str) -> None:
    hide = hider(None, {name: CANARY})
    assert CANARY not in hide(said.format(CANARY))
    assert "c4n4ry%2F%2Bw1th" not in hide(said.format("c4n4ry%2F%2Bw1th%3Dodd%26chars"))


def test_secrets_of_the_settings_are_hidden() -> None:
    settings = Settings(online_store_password=SecretStr(CANARY), alert_urls=(SecretStr("json://ops:t0k3n-abc@h"),))
    hide = hider(settings, {})
    assert hide({"a": f"password {CANARY}", "b": "told json://ops:t0k3n-abc@h", "c": 3}) == {
        "a": "password ***",
        "b": "told ***",
        "c": 3,
    }


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("postgresql://dagster:s3cr3t@db:5432/d", "postgresql://dagster:***@db:5432/d"),
        ("https://a/b?sv=2024&sig=Ab%2Fc&se=1", "https://a/b?sv=2024&sig=***&se=1"),
        ("AccountName=a;AccountKey=Zm9v;", "AccountName=a;AccountKey=***;"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer ***"),
        (f"token {JWT} refused", "token *** refused"),
        ("dapi0123456789abcdef0123456789abcdef-2", "***"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_though_no_variable_holds_it(said: str, shown: str) -> None:
    assert hider(None, {})(said) == shown


def test_what_is_no_secret_stays() -> None:
    said = "container lake of storage account devstoreaccount1 answers 404 ContainerNotFound"
    variables = {"AZURE_CLIENT_ID": "container", "AZURE_FEDERATED_TOKEN_FILE": "storage account", "SOME_KEY": "404"}
    assert hider(None, variables)(said) == said
    assert hider(None, {})(None) is None
