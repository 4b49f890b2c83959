"""What this identity may do in the workspace and beside it, as Azure Resource Manager tells it."""

import json
import re
from collections.abc import Sequence
from typing import Any

from ml_platform.doctor.azure_failures import explained, identity
from ml_platform.doctor.azureml import HASTE, ROLE, Workspace
from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.doctor.declarations import declared_autoscaling
from ml_platform.gateways.workspace import ARM_ID

API_VERSION = "2022-04-01"
"""Of Microsoft.Authorization/permissions: https://learn.microsoft.com/rest/api/authorization/permissions"""

NEEDED = (
    "jobs/read",
    "jobs/write",
    "jobs/cancel/action",
    "computes/read",
    "datastores/read",
    "environments/versions/read",
    "models/versions/write",
    "onlineEndpoints/write",
    "onlineEndpoints/listKeys/action",
    "onlineEndpoints/deployments/write",
    "onlineEndpoints/deployments/delete",
    "data/versions/write",
    "schedules/read",
    "schedules/write",
    "schedules/delete",
)
"""Below Microsoft.MachineLearningServices/workspaces."""

SCALES = "Microsoft.Insights/autoscaleSettings"


def look_at_rights(workspace: Workspace) -> Seen:
    """Whether the roles of this identity allow what training and serving do; skipped where that may not be read."""
    permissions = _permissions(workspace, workspace.settings.azureml_workspace)
    lacking = [
        each for each in NEEDED if not allowed(f"Microsoft.MachineLearningServices/workspaces/{each}", permissions)
    ]
    if lacking:
        raise CheckFailed(
            f"{identity(workspace.asked.scope)} may not {', '.join(lacking)}",
            f"Give {identity(workspace.asked.scope)} the role {ROLE} on {workspace.name}",
        )
    return {"identity": identity(workspace.asked.scope).removeprefix("the identity "), "rights": len(NEEDED)}


def look_at_autoscaling(workspace: Workspace) -> Seen:
    """Whether this identity may set the rules by which Azure Monitor scales endpoints, where a product has some."""
    declared = declared_autoscaling()
    if not declared:
        raise CheckSkipped("no product declares endpoint.autoscale: each has a fixed number of instances")
    place = ARM_ID.fullmatch(workspace.settings.azureml_workspace)
    assert place
    group = f"resource group {place['group']}"
    permissions = _permissions(workspace, f"/subscriptions/{place['subscription']}/resourceGroups/{place['group']}")
    lacking = [verb for verb in ("read", "write", "delete") if not allowed(f"{SCALES}/{verb}", permissions)]
    if lacking:
        who = identity(workspace.asked.scope)
        raise CheckFailed(
            f"{who} may not {', '.join(lacking)} {SCALES} in {group}, and {', '.join(declared)} are to be scaled",
            f"Give {who} the role of deployments/azure/bicep/autoscale-role.bicep ({SCALES}/read, write and delete) on "
            f"{group}, or take endpoint.autoscale out of the declaration",
        )
    return {name: f"{each.min_instances} to {each.max_instances} instances" for name, each in declared.items()}


def allowed(action: str, permissions: Sequence[dict[str, Any]]) -> bool:
    """Whether one of the permissions (each of a role) has the action and does not take it out again."""
    return any(
        _among(action, each.get("actions")) and not _among(action, each.get("notActions")) for each in permissions
    )


def _among(action: str, patterns: Sequence[str] | None) -> bool:
    return any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), action, re.IGNORECASE) for p in patterns or ())


def _permissions(workspace: Workspace, place: str) -> list[dict[str, Any]]:
    from azure.core import PipelineClient
    from azure.core.exceptions import AzureError, map_error
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
    from azure.core.rest import HttpRequest
    from azure.identity import DefaultAzureCredential

    scope = workspace.asked.scope
    policies = [RetryPolicy(**HASTE), BearerTokenCredentialPolicy(DefaultAzureCredential(), scope)]
    path = f"{place}/providers/Microsoft.Authorization/permissions"
    request = HttpRequest("GET", f"{workspace.base_url}{path}", params={"api-version": API_VERSION})
    try:
        with PipelineClient(workspace.base_url, policies=policies) as client:
            answer = client.send_request(request)
            if answer.status_code == 403:
                raise CheckSkipped("this identity may not read its rights; the first training and roll-out tell")
            map_error(answer.status_code, answer, {})  # pyright: ignore[reportArgumentType]
            answer.raise_for_status()
            return json.loads(answer.text())["value"]
    except AzureError as error:
        raise explained(error, workspace.asked, f"Correct ML_PLATFORM_AZUREML_WORKSPACE: {workspace.name}") from error
