"""Typed, frozen settings: the only place that reads the environment. Variables are named ML_PLATFORM_<FIELD>."""

import re
import subprocess
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ml_platform.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
STUDIO = "https://ml.azure.com"
_INJECTED = re.compile(
    r"\$\{\{(keyvault:https://[\w.-]+/secrets/[\w-]+/\w+|azureml://connections/[\w-]+/credentials/[\w-]+)\}\}"
)
"""What Azure ML replaces in a deployment's variables (docs: "online endpoints with secret injection")."""


class Settings(BaseSettings):
    """Where this deployment keeps its things. The defaults are a laptop's: everything below one folder."""

    # An error must not show a value: it may be a secret.
    model_config = SettingsConfigDict(env_prefix="ML_PLATFORM_", frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(default=PROJECT_ROOT / ".ml_platform", description="Folder of everything that is kept.")
    lake_uri: str = Field(default="", description="Root of the lake, file:// or abfss://.")
    mlflow_tracking_uri: str = Field(default="", description="MLflow tracking and registry URI.")
    mlflow_artifact_uri: str = Field(
        default="", description="Where MLflow experiments keep their artefacts; empty: the server decides."
    )
    training_threads: int = Field(
        default=2, ge=1, description="Threads of a training; part of what makes it repeatable."
    )
    mlflow_ui: str = Field(default="http://127.0.0.1:5000", description="Where a person opens MLflow; used in links.")
    dagster_ui: str = Field(default="http://127.0.0.1:3000", description="Where a person opens Dagster; used in links.")
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Where alerts go: URLs of Apprise, separated by blanks. None: they are only kept."
    )
    pictures: bool = Field(default=True, description="Draw drift and performance into the metadata of their tables.")
    online_store_uri: str = Field(
        default="",
        description="Where online features are: file:// (SQLite), redis:// or rediss:// (TLS); without a password.",
    )
    online_store_password: SecretStr | None = Field(
        default=None,
        description="Password of a Redis, which jobs and endpoints read themselves; rediss:// without: Entra's token.",
    )
    azureml_workspace: str = Field(
        default="", description="Resource id of the Azure ML workspace that trains and serves models; empty: here."
    )
    azureml_compute: str = Field(default="", description="Name of its compute cluster, or serverless.")
    azureml_training_environment: str = Field(
        default="", description="Its environment whose image holds ml_platform, as NAME:VERSION."
    )
    azureml_timeout_minutes: float = Field(
        default=180, gt=0, description="After which a job there is cancelled, the wait for a machine included."
    )
    azureml_datastore: str = Field(
        default="", description="Its datastore whose container is the lake: there model monitors find what was logged."
    )
    azureml_scoring_environment: str = Field(
        default="", description="Environment of endpoints, azureml:NAME:VERSION, whose image is the scoring server."
    )
    azureml_instance_type: str = Field(default="Standard_DS3_v2", description="Machine of an endpoint's instances.")
    azureml_instances: int = Field(default=1, ge=1, description="Instances of each deployment of an endpoint.")
    azureml_endpoint_identity: str = Field(
        default="",
        description="ARM id of the identity of endpoints, which may read and write the lake; empty: each has its own, "
        "to which somebody must grant that.",
    )
    azureml_online_store_secret: str = Field(
        default="",
        description="Where the service finds the password of the online store for endpoints, which it reads as their "
        "identity: ${{keyvault:https://VAULT.vault.azure.net/secrets/NAME/VERSION}} or "
        "${{azureml://connections/NAME/credentials/KEY}}; empty: they log in with Entra's token.",
    )
    databricks_host: str = Field(
        default="", description="URL of the Databricks workspace that runs the Spark programs; empty: they run here."
    )
    databricks_volume: str = Field(
        default="", description="/Volumes/<catalog>/<schema>/<volume> for the programs' wheel and what Pipes says."
    )
    databricks_compute: str = Field(
        default="serverless", description="serverless, or the path of a YAML or JSON file with a new_cluster."
    )
    databricks_timeout_minutes: int = Field(
        default=120, ge=1, description="Longest that a run on Databricks may take, from submission to end."
    )
    databricks_online_store_secret: str = Field(
        default="",
        description="SCOPE/KEY of Databricks' secret with the password of the online store, which the program that "
        "fills it reads there: serverless compute takes no variables.",
    )
    replay_clock: bool = Field(default=False, description="Let callers of local endpoints say what time it is.")
    code_revision: str = Field(default="", description="Revision of the code, where it does not run in a git checkout.")

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        urls = value.split() if isinstance(value, str) else value
        if isinstance(urls, list | tuple):
            for place, url in enumerate(urls, start=1):
                if "://" not in (url.get_secret_value() if isinstance(url, SecretStr) else str(url)):
                    raise SettingsError(
                        f"Part {place} of ML_PLATFORM_ALERT_URLS has no scheme: give URLs separated by blanks, "
                        "such as json://127.0.0.1:8080/alerts"
                    )
        return urls

    @field_validator("online_store_uri")
    @classmethod
    def _store_without_password(cls, value: str) -> str:
        if (scheme := urlsplit(value).scheme) not in ("", "file", "redis", "rediss"):
            raise SettingsError(
                f"ML_PLATFORM_ONLINE_STORE_URI is of the kind {scheme}://, where no online store can be: give file:// "
                "(SQLite, which needs a disk), redis:// or rediss://"
            )
        if urlsplit(value).password:
            raise SettingsError(
                "ML_PLATFORM_ONLINE_STORE_URI has a password in it: URIs are shown and recorded. Set "
                "ML_PLATFORM_ONLINE_STORE_PASSWORD instead"
            )
        return value

    @field_validator("databricks_volume")
    @classmethod
    def _is_volume(cls, value: str) -> str:
        if value and not re.fullmatch(r"/Volumes(/[^/\s]+){3}", value):
            raise SettingsError(
                f"ML_PLATFORM_DATABRICKS_VOLUME is {value!r}: give /Volumes/<catalog>/<schema>/<volume>"
            )
        return value

    @field_validator("databricks_online_store_secret")
    @classmethod
    def _is_secret(cls, value: str) -> str:
        # What is no name may be the password itself: it is not shown.
        if value and not re.fullmatch(r"[\w.@-]{1,128}/[\w.@-]{1,128}", value):
            raise SettingsError(
                "ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET names no secret: give SCOPE/KEY, as in "
                "{{secrets/SCOPE/KEY}}, and not the password"
            )
        return value

    @field_validator("azureml_online_store_secret")
    @classmethod
    def _is_reference(cls, value: str) -> str:
        if value and not _INJECTED.fullmatch(value):
            raise SettingsError(
                "ML_PLATFORM_AZUREML_ONLINE_STORE_SECRET refers to no secret: give "
                "${{keyvault:https://VAULT.vault.azure.net/secrets/NAME/VERSION}} or "
                "${{azureml://connections/NAME/credentials/KEY}}, and not the password"
            )
        return value

    @model_validator(mode="after")
    def _has_volume(self) -> Self:
        if self.databricks_host and not self.databricks_volume:
            raise SettingsError(
                "ML_PLATFORM_DATABRICKS_HOST is set and ML_PLATFORM_DATABRICKS_VOLUME is not: programs need a volume"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _below_home(cls, values: dict[str, object]) -> dict[str, object]:
        home = Path(str(values.get("home") or PROJECT_ROOT / ".ml_platform")).absolute()
        defaults = {
            "lake_uri": (home / "lake").as_uri(),
            "online_store_uri": (home / "online").as_uri(),
            "mlflow_tracking_uri": f"sqlite:///{home / 'mlflow.db'}",
        }
        if not str(values.get("mlflow_tracking_uri", "")).startswith("azureml:"):
            defaults["mlflow_artifact_uri"] = (home / "mlflow-artifacts").as_uri()
        elif workspace := values.get("azureml_workspace"):  # it keeps artefacts itself, and shows what is tracked
            defaults["mlflow_ui"] = f"{STUDIO}/experiments?wsid={workspace}"
        return {**values, "home": home, **{k: v for k, v in defaults.items() if not values.get(k)}}

    @cached_property
    def revision(self) -> str:
        """What the code is: the given revision, or git's with a hash of what is not committed."""
        if self.code_revision:
            return self.code_revision
        head, changes = _git("rev-parse", "HEAD").decode().strip(), _git("diff", "HEAD")
        return f"{head}+{sha256(changes).hexdigest()[:12]}" if changes else head

    def run_page(self, experiment_id: str, run_id: str) -> str:
        """Where a person sees a run of MLflow: in its own pages, or in the studio of the workspace that it is in."""
        if self.azureml_workspace:
            return f"{STUDIO}/runs/{run_id}?wsid={self.azureml_workspace}"
        return f"{self.mlflow_ui}/#/experiments/{experiment_id}/runs/{run_id}"

    def model_page(self, model: str, version: str) -> str:
        """Where a person sees a registered version."""
        if self.azureml_workspace:
            return f"{STUDIO}/model/{model}:{version}/details?wsid={self.azureml_workspace}"
        return f"{self.mlflow_ui}/#/models/{model}/versions/{version}"

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's instance."""
        return self.home / "dagster"


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=PROJECT_ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            "There is no git checkout here to read the revision from: set ML_PLATFORM_CODE_REVISION"
        ) from error
