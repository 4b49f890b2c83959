"""Azure ML's own monitors of the products that declare one: each endpoint's schedule, as the workspace has it."""

from ml_platform.asset_checks.products import declared_products
from ml_platform.doctor.azureml import Workspace
from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.gateways.endpoints import Hosting


def look_at_monitors(workspace: Workspace) -> Seen:
    """The schedules are there and switched on, wherever an endpoint is; skipped where no product declares one."""
    names = [each.product.name for each in declared_products() if each.product.monitors.azureml]
    if not names:
        raise CheckSkipped("no product declares monitors.azureml")
    hosting = Hosting(workspace.settings.azureml_workspace, workspace.settings.azureml_scoring_environment)
    on = {each.name for each in workspace.answer(lambda: list(workspace.client.schedules.list()), "")}
    served = {each.name for each in workspace.answer(lambda: list(workspace.client.online_endpoints.list()), "")}
    for name in names:
        monitor = hosting.monitor_name(name)
        if hosting.endpoint_name(name) in served and monitor not in on:
            raise CheckFailed(
                f"{name} is served, and its monitor {monitor} in {workspace.name} is not there or switched off",
                f"Materialise endpoints/{name}, which puts {monitor} back",
            )
    watched = [name for name in names if hosting.monitor_name(name) in on]
    return {"declared": ", ".join(names), "watched": ", ".join(watched) or "none, nothing is served yet"}
