"""Typed, frozen settings: the only place that reads the environment. Variables are named ML_PLATFORM_<FIELD>."""

import subprocess
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ml_platform.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where this deployment keeps its things. The defaults are a laptop's: everything below one folder."""

    # An error must not show a value: it may be a secret.
    model_config = SettingsConfigDict(env_prefix="ML_PLATFORM_", frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(default=PROJECT_ROOT / ".ml_platform", description="Folder of everything that is kept.")
    lake_uri: str = Field(default="", description="Root of the lake, file:// or abfss://.")
    mlflow_tracking_uri: str = Field(default="", description="MLflow tracking and registry URI.")
    mlflow_artifact_uri: str = Field(default="", description="Where MLflow experiments keep their artefacts.")
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
        description="Where online features are: file:// (SQLite), redis:// or rediss://; without a password.",
    )
    online_store_password: SecretStr | None = Field(
        default=None, description="Password of a Redis; jobs and endpoints read the variable themselves."
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
    def _no_password(cls, value: str) -> str:
        if urlsplit(value).password:
            raise SettingsError(
                "ML_PLATFORM_ONLINE_STORE_URI has a password in it: URIs are shown and recorded. Set "
                "ML_PLATFORM_ONLINE_STORE_PASSWORD instead"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _below_home(cls, values: dict[str, object]) -> dict[str, object]:
        home = Path(str(values.get("home") or PROJECT_ROOT / ".ml_platform")).absolute()
        defaults = {
            "lake_uri": (home / "lake").as_uri(),
            "online_store_uri": (home / "online").as_uri(),
            "mlflow_tracking_uri": f"sqlite:///{home / 'mlflow.db'}",
            "mlflow_artifact_uri": (home / "mlflow-artifacts").as_uri(),
        }
        return {**values, "home": home, **{k: v for k, v in defaults.items() if not values.get(k)}}

    @cached_property
    def revision(self) -> str:
        """What the code is: the given revision, or git's with a hash of what is not committed."""
        if self.code_revision:
            return self.code_revision
        head, changes = _git("rev-parse", "HEAD").decode().strip(), _git("diff", "HEAD")
        return f"{head}+{sha256(changes).hexdigest()[:12]}" if changes else head

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
