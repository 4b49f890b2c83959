"""The Databricks workspace: who asks, the volume, the compute and the runs, as databricks-sdk sees them."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.doctor.databricks_failures import explained, no_login
from ml_platform.errors import SettingsError
from ml_platform.settings import Settings

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

HTTP_SECONDS, RETRY_SECONDS = 10, 15
SERVERLESS = "serverless"
DISCOVERY = "/oidc/.well-known/oauth-authorization-server"
"""Of a workspace's OAuth: it answers without a login."""

WORKSPACE_ACCESS, CLUSTER_CREATE = "workspace-access", "allow-cluster-create"
"""Entitlements: https://docs.databricks.com/security/auth/entitlements.html"""

_REFERENCE = re.compile(r"\{\{secrets/([^/{}]+/[^/{}]+)\}\}")

T = TypeVar("T")


class DatabricksWorkspace:
    """The workspace that the settings name. Credentials are in the variables that databricks-sdk reads."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.host, self.volume = (
            settings,
            settings.databricks_host,
            settings.databricks_volume.rstrip("/"),
        )
        # No cached_property: its lock is one for all workspaces, so that a look that hangs would hold the others.
        self._client: WorkspaceClient | None = None
        self._me: Any = None

    @property
    def client(self) -> "WorkspaceClient":
        """With less patience than a run has."""
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        if self._client is None:
            try:
                config = Config(host=self.host, http_timeout_seconds=HTTP_SECONDS, retry_timeout_seconds=RETRY_SECONDS)
                self._client = WorkspaceClient(config=config)
            except ValueError as error:
                raise no_login(error, self.host) from error
        return self._client

    @property
    def me(self) -> Any:
        """Who asks, as SCIM tells."""
        if self._me is None:
            wrong_host = f"Correct ML_PLATFORM_DATABRICKS_HOST, {self.host}"
            self._me = self.answer(lambda: self.client.current_user.me(), wrong_host, "")
        return self._me

    def _reach(self) -> None:
        """Fail soon where nothing answers: while it logs in, databricks-sdk tries for five minutes."""
        import requests

        self.answer(lambda: requests.get(f"{self.host}{DISCOVERY}", timeout=HTTP_SECONDS), "", "")

    def look(self) -> Seen:
        """The workspace is reached, the login works, and who it is may use the workspace."""
        from importlib.metadata import version

        self._reach()
        me, login = self.me, str(self.client.config.auth_type)
        seen: Seen = {"host": self.host, "as": str(me.user_name), "login": login, "sdk": version("databricks-sdk")}
        told = self._entitlements()
        if told and WORKSPACE_ACCESS not in told:
            remedy = f"Give {me.user_name} the entitlement Workspace access in {self.host}"
            raise CheckFailed(f"{me.user_name} may not use the workspace: its entitlements are {sorted(told)}", remedy)
        return seen

    def look_at_volume(self) -> Seen:
        """The volume exists, and a file of it can be written, read and removed."""
        parts = self.volume.strip("/").split("/")
        name = ".".join(parts[1:])
        missing = f"Create volume {name} (CREATE VOLUME {name}), or correct ML_PLATFORM_DATABRICKS_VOLUME"
        rights = (
            f"Grant {self.me.user_name} READ VOLUME and WRITE VOLUME on volume {name}, USE CATALOG on {parts[1]} and "
            f"USE SCHEMA on {parts[1]}.{parts[2]}"
        )
        volume = self.answer(lambda: self.client.volumes.read(name), missing, rights)
        self.answer(self._write_and_remove, missing, rights)
        return {"volume": name, "kind": str(volume.volume_type.value if volume.volume_type else "")}

    def _write_and_remove(self) -> None:
        files, folder, content = self.client.files, f"{self.volume}/doctor/{uuid4().hex}", b"ml-platform doctor"
        files.create_directory(folder)
        files.upload(f"{folder}/document.txt", io.BytesIO(content), overwrite=True)
        answer = files.download(f"{folder}/document.txt")
        read = answer.contents.read() if answer.contents else b""
        files.delete(f"{folder}/document.txt")
        files.delete_directory(folder)
        if read != content:
            raise CheckFailed(f"{folder} gives back other than was written", "Look at the volume's storage location")

    def look_at_compute(self) -> Seen:
        """What a new cluster is declared with is known to the workspace: version, machine and policy."""
        compute = self.settings.databricks_compute
        if compute == SERVERLESS:
            raise CheckSkipped("whether serverless compute is switched on cannot be read: the first run tells")
        declared = _declared(compute)
        self._known(
            "spark_version", declared, lambda: [v.key for v in self.client.clusters.spark_versions().versions or []]
        )
        types = lambda: [each.node_type_id for each in self.client.clusters.list_node_types().node_types or []]  # noqa: E731
        self._known("node_type_id", declared, types)
        seen: Seen = {key: str(declared[key]) for key in ("spark_version", "node_type_id") if declared.get(key)}
        if policy := declared.get("policy_id"):
            missing = f"Create cluster policy {policy}, or correct policy_id in {compute}"
            rights = f"Give {self.me.user_name} CAN USE on cluster policy {policy}"
            seen["policy"] = str(self.answer(lambda: self.client.cluster_policies.get(policy), missing, rights).name)
        elif (told := self._entitlements()) and CLUSTER_CREATE not in told:
            raise CheckFailed(
                f"{self.me.user_name} may not create clusters",
                f"Give {self.me.user_name} the entitlement Unrestricted cluster creation, or name a policy_id in "
                f"{compute}",
                **seen,
            )
        return seen

    def _known(self, key: str, declared: dict[str, Any], known: Callable[[], list[Any]]) -> None:
        value = declared.get(key)
        if value and value not in self.answer(known, "", ""):
            raise CheckFailed(
                f"{self.host} knows no {key} {value}",
                f"Set {key} in {self.settings.databricks_compute} to one that the workspace has",
            )

    def look_at_jobs(self) -> Seen:
        """Runs may be read. Whether one may be submitted is not to be had without doing it."""
        rights = f"Give {self.me.user_name} the entitlement Workspace access in {self.host}, so that it may run jobs"
        runs = self.answer(lambda: next(iter(self.client.jobs.list_runs(limit=1)), None), "", rights)
        return {"latest_run": str(runs.run_id) if runs else "none"}

    @property
    def store_wants_password(self) -> bool:
        """Whether the program that fills the online store logs in to it with a password."""
        settings = self.settings
        in_redis = settings.online_store_uri.startswith(("redis://", "rediss://"))
        return in_redis and bool(settings.online_store_password or settings.databricks_online_store_secret)

    def look_at_secret(self) -> Seen:
        """The secret with the online store's password exists; only its name is read."""
        scope, key = self._secret().split("/", 1)
        put = f"Put the password of the online store there: databricks secrets put-secret {scope} {key}"
        missing = f"Create the scope, databricks secrets create-scope {scope}. {put}"
        rights = f"Let {self.me.user_name} read it: databricks secrets put-acl {scope} {self.me.user_name} READ"
        found = self.answer(lambda: [each.key for each in self.client.secrets.list_secrets(scope)], missing, rights)
        if key not in found:
            raise CheckFailed(f"the scope {scope} of {self.host} has no secret {key}", put)
        return {"scope": scope, "key": key}

    def _secret(self) -> str:
        """SCOPE/KEY, by the settings or the variables of the declared cluster."""
        compute, named = self.settings.databricks_compute, self.settings.databricks_online_store_secret
        variables = {} if compute == SERVERLESS else _declared(compute).get("spark_env_vars", {})
        found = _REFERENCE.fullmatch(variables.get(PASSWORD_VARIABLE, ""))
        if not (found or named):
            others = "" if compute == SERVERLESS else f", or {PASSWORD_VARIABLE} in spark_env_vars of {compute}"
            raise CheckFailed(
                f"programs on Databricks get no password of the online store (compute: {compute})",
                "Put it into a secret of Databricks and name that in ML_PLATFORM_DATABRICKS_ONLINE_STORE_SECRET, as "
                f"SCOPE/KEY{others}",
            )
        return found[1] if found else named

    def _entitlements(self) -> set[str]:
        return {str(each.value) for each in self.me.entitlements or []}

    def answer(self, call: Callable[[], T], missing: str, rights: str) -> T:
        """What a call answers. Raises CheckFailed; `missing` and `rights` are the remedies for 404 and 403."""
        from databricks.sdk.errors.base import DatabricksError

        try:
            return call()
        except (DatabricksError, OSError, ValueError) as error:
            raise explained(error, self.host, missing, rights) from error


def _declared(compute: str) -> dict[str, Any]:
    """The keys of the cluster that a file declares."""
    from ml_platform.gateways.jobs.databricks.task import new_cluster

    try:
        cluster = new_cluster(compute)
        return cluster.as_dict() if cluster else {}
    except SettingsError as error:
        remedy = (
            f"Set ML_PLATFORM_DATABRICKS_COMPUTE to {SERVERLESS}, or to a YAML or JSON file with new_cluster's keys"
        )
        raise CheckFailed(str(error), remedy) from error
