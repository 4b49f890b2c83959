"""Rules by which Azure Monitor adds instances to a deployment and removes them: its autoscale settings.

A setting names its target and outlives it: one that is left scales whatever is deployed under that name later. So what
there is is found by its target, whoever made it. https://learn.microsoft.com/rest/api/monitor/autoscale-settings
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_platform.gateways.endpoints.azureml_deployment import TAG
from ml_platform.gateways.endpoints.azureml_service import told
from ml_platform.gateways.workspace import ARM_ID, check_workspace, resource_manager
from ml_platform.scoring.state import Autoscale

if TYPE_CHECKING:
    from azure.mgmt.monitor import MonitorManagementClient
    from azure.mgmt.monitor.models import AutoscaleSettingResource, ScaleRule

METRIC = "CpuUtilizationPercentage"
"""Of online deployments: the mean of their instances, each minute."""
PROFILE = "by load"


class AutoscaleSettings:
    """Those of the deployments of an endpoint, by its name in the service; `guard` is called before each change."""

    def __init__(self, workspace: str, endpoint: str, guard: Callable[[], None] = lambda: None) -> None:
        found = ARM_ID.fullmatch(check_workspace(workspace))
        assert found
        self._subscription, self._group = found["subscription"], found["group"]
        self._endpoint, self._guard = endpoint, guard
        self._deployments = f"{workspace}/onlineEndpoints/{endpoint}/deployments"

    @cached_property
    def _client(self) -> "MonitorManagementClient":
        from azure.identity import DefaultAzureCredential
        from azure.mgmt.monitor import MonitorManagementClient

        url = resource_manager()
        scopes = [f"{url}/.default"]
        return MonitorManagementClient(
            DefaultAzureCredential(), self._subscription, base_url=url, credential_scopes=scopes
        )

    def keep(self, deployments: set[str]) -> None:
        """Remove the settings of all other deployments, also of those that are not there any more."""
        kept = {each.lower() for each in deployments}
        for setting in self._found():
            if self._target(setting) not in kept:
                self._remove(str(setting.name))

    def scale(self, deployment: str, autoscale: Autoscale, region: str, owner: str) -> None:
        """Let `deployment` be scaled so, and none of the others; `owner` is the endpoint's name here."""
        name, wanted = f"{self._endpoint}-{deployment}", self._setting(deployment, autoscale, region, owner)
        there = {str(each.name).lower(): each for each in self._found()}
        own = there.pop(name.lower(), None)
        # Before its own: a target has one setting.
        for other in there.values():
            self._remove(str(other.name))
        if own is None or _facts(own) != _facts(wanted):
            self._guard()
            with self._told(name):
                self._client.autoscale_settings.create_or_update(self._group, name, wanted)

    def _remove(self, name: str) -> None:
        self._guard()
        with self._told(name):
            self._client.autoscale_settings.delete(self._group, name)

    def _found(self) -> "list[AutoscaleSettingResource]":
        with self._told(self._endpoint):
            every = list(self._client.autoscale_settings.list_by_resource_group(self._group))
        return [each for each in every if self._target(each)]

    def _target(self, setting: "AutoscaleSettingResource") -> str:
        """The deployment of this endpoint that it scales, in small letters; nothing where it scales something else."""
        place = re.escape(self._deployments)
        found = re.fullmatch(rf"{place}/([^/]+)", setting.target_resource_uri or "", re.IGNORECASE)
        return found[1].lower() if found else ""

    def _setting(self, deployment: str, autoscale: Autoscale, region: str, owner: str) -> "AutoscaleSettingResource":
        from azure.mgmt.monitor.models import AutoscaleProfile, AutoscaleSettingResource, ScaleCapacity

        target = f"{self._deployments}/{deployment}"
        least, most = str(autoscale.min_instances), str(autoscale.max_instances)
        rules = [
            _rule(target, autoscale, "GreaterThan", autoscale.scale_out_cpu_percent, "Increase"),
            _rule(target, autoscale, "LessThan", autoscale.scale_in_cpu_percent, "Decrease"),
        ]
        # The default is for a time without metrics, and raises their number only: so it is left as it is.
        capacity = ScaleCapacity(minimum=least, maximum=most, default=least)
        return AutoscaleSettingResource(
            location=region,
            tags={TAG: owner},
            enabled=True,
            target_resource_uri=target,
            profiles=[AutoscaleProfile(name=PROFILE, capacity=capacity, rules=rules)],
        )

    def _told(self, what: str) -> AbstractContextManager[None]:
        return told(
            "Azure Monitor",
            f"autoscaling of {what}",
            "give that identity the role of deployments/azure/bicep/autoscale-role.bicep on resource group "
            f"{self._group}, or take endpoint.autoscale out of the declaration",
        )


def _rule(target: str, autoscale: Autoscale, operator: str, threshold: int, direction: str) -> "ScaleRule":
    from azure.mgmt.monitor.models import MetricTrigger, ScaleAction, ScaleRule

    return ScaleRule(
        metric_trigger=MetricTrigger(
            metric_name=METRIC,
            metric_resource_uri=target,
            time_grain=timedelta(minutes=1),
            statistic="Average",
            time_window=timedelta(minutes=autoscale.window_minutes),
            time_aggregation="Average",
            operator=operator,
            threshold=threshold,
        ),
        scale_action=ScaleAction(
            direction=direction, type="ChangeCount", value="1", cooldown=timedelta(minutes=autoscale.cooldown_minutes)
        ),
    )


def _facts(setting: "AutoscaleSettingResource") -> object:
    """What a setting does, without what the service adds to it."""
    return bool(setting.enabled), [(_capacity(each), [_acts(rule) for rule in each.rules]) for each in setting.profiles]


def _capacity(profile: Any) -> tuple[str, ...]:
    return profile.capacity.minimum, profile.capacity.maximum, profile.capacity.default


def _acts(rule: "ScaleRule") -> tuple[Any, ...]:
    trigger, action = rule.metric_trigger, rule.scale_action
    when = (trigger.metric_name, trigger.metric_resource_uri.lower(), trigger.operator, float(trigger.threshold))
    over = (trigger.time_grain, trigger.time_window, trigger.time_aggregation, trigger.statistic)
    return *when, *over, action.direction, action.type, action.value, action.cooldown
