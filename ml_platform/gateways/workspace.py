"""An Azure ML workspace by its ARM id, and the client that talks to it."""

import re
from typing import TYPE_CHECKING, Any

from ml_platform.errors import SettingsError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

ARM_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<workspace>[^/]+)",
    re.IGNORECASE,
)


def check_workspace(arm_id: str) -> str:
    """The id as it is; raises SettingsError for one that names no workspace."""
    if not ARM_ID.fullmatch(arm_id):
        raise SettingsError(
            f"ML_PLATFORM_AZUREML_WORKSPACE is {arm_id!r}: give the workspace's resource id, "
            "/subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W "
            "(az ml workspace show --query id)"
        )
    return arm_id


def resource_manager() -> str:
    """The URL of Azure Resource Manager in this cloud."""
    # azure-ai-ml has no public name for it, and reads it from ARM_CLOUD_METADATA_URL in clouds of other names.
    from azure.ai.ml._azure_environments import _get_base_url_from_metadata

    return str(_get_base_url_from_metadata()).rstrip("/")


def workspace_client(arm_id: str, **options: Any) -> "MLClient":
    """A client of the workspace with the identity that the environment holds.

    Throttling, passing failures and lost connections are repeated by azure-core's policy, which heeds Retry-After.
    `options` are azure-core's, such as retry_total.
    """
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    found = ARM_ID.fullmatch(check_workspace(arm_id))
    assert found
    return MLClient(
        DefaultAzureCredential(),
        found["subscription"],
        found["group"],
        found["workspace"],
        show_progress=False,
        enable_telemetry=False,
        **options,
    )
