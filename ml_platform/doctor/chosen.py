"""Settings to checks: as in gateways/build.py, the only place here where it is chosen between worlds."""

from collections.abc import Iterator

from ml_platform.doctor import dagster_instance, declarations, machine
from ml_platform.doctor.check import Check
from ml_platform.doctor.lake import look_at_folder, look_at_tables
from ml_platform.doctor.online_store import look_at_store
from ml_platform.doctor.tracking import look_at_tracking
from ml_platform.gateways.lake import Lake
from ml_platform.instance import home_of
from ml_platform.settings import Settings


def chosen_checks(settings: Settings) -> list[Check]:
    """The checks of what the deployment that `settings` describe depends on, in the order in which they are shown."""
    return [
        Check("products", declarations.look_at_products),
        Check("revision", lambda: declarations.look_at_revision(settings)),
        Check("alerts", lambda: declarations.look_at_alerts(settings)),
        *_of_machine(settings),
        *_of_lake(settings),
        *(_of_databricks(settings) if settings.databricks_host else _of_spark_here()),
        *(_of_azureml(settings) if settings.azureml_workspace else _of_models_here(settings)),
        Check("mlflow", lambda: look_at_tracking(settings)),
        Check("online store", lambda: look_at_store(settings)),
        *_of_dagster(settings),
    ]


def _of_machine(settings: Settings) -> Iterator[Check]:
    yield Check("disk", lambda: machine.look_at_disk(settings.home))
    if not (settings.databricks_host and settings.azureml_workspace):
        yield Check("memory", machine.look_at_memory)


def _of_lake(settings: Settings) -> Iterator[Check]:
    if settings.lake_uri.startswith("file:"):
        yield Check("lake", lambda: look_at_folder(settings.lake_uri))
    else:
        from ml_platform.doctor.lake_azure import look_at_container

        yield Check("lake", lambda: look_at_container(settings.lake_uri))
    yield Check("lake tables", lambda: look_at_tables(Lake(settings.lake_uri)), needs="lake")


def _of_spark_here() -> Iterator[Check]:
    yield Check("spark", lambda: machine.look_at_libraries(machine.SPARK, ""))


def _of_databricks(settings: Settings) -> Iterator[Check]:
    from ml_platform.doctor.databricks import DatabricksWorkspace

    workspace = DatabricksWorkspace(settings)
    yield Check("databricks", workspace.look)
    yield Check("databricks volume", workspace.look_at_volume, needs="databricks")
    yield Check("databricks compute", workspace.look_at_compute, needs="databricks")
    yield Check("databricks jobs", workspace.look_at_jobs, needs="databricks")
    if workspace.store_wants_password:
        yield Check("databricks secret", workspace.look_at_secret, needs="databricks")


def _of_models_here(settings: Settings) -> Iterator[Check]:
    yield Check("training", lambda: machine.look_at_libraries(machine.TRAINING, "[training]"))
    yield Check("endpoints", lambda: machine.look_at_libraries(machine.SCORING, "[scoring]"))
    yield Check(
        "endpoint ports", lambda: machine.look_at_ports(settings.home, declarations.declared_ports()), needs="products"
    )


def _of_azureml(settings: Settings) -> Iterator[Check]:
    from ml_platform.doctor.azureml import Workspace
    from ml_platform.doctor.azureml_monitors import look_at_monitors
    from ml_platform.doctor.azureml_quota import look_at_serving_quota, look_at_training_quota
    from ml_platform.doctor.azureml_rights import look_at_autoscaling, look_at_rights

    workspace, name = Workspace(settings), "azureml"
    yield Check(name, workspace.look)
    yield Check("azureml rights", lambda: look_at_rights(workspace), needs=name)
    yield Check("azureml compute", workspace.look_at_compute, needs=name)
    yield Check("azureml training quota", lambda: look_at_training_quota(workspace), needs="azureml compute")
    trains, serves = "azureml_training_environment", "azureml_scoring_environment"
    yield Check("azureml training image", lambda: workspace.look_at_environment(trains, "that trains"), needs=name)
    yield Check("azureml scoring image", lambda: workspace.look_at_environment(serves, "that serves"), needs=name)
    yield Check("azureml serving quota", lambda: look_at_serving_quota(workspace), needs=name)
    yield Check("azureml autoscaling", lambda: look_at_autoscaling(workspace), needs=name)
    yield Check("azureml datastore", workspace.look_at_datastore, needs=name)
    if settings.online_store_password:
        yield Check("azureml store secret", workspace.look_at_store_secret)
    yield Check("azureml monitors", lambda: look_at_monitors(workspace), needs=name)


def _of_dagster(settings: Settings) -> Iterator[Check]:
    home, services = home_of(settings), settings.home / "services"
    yield Check("dagster home", lambda: dagster_instance.look_at_home(home))
    yield Check("dagster storage", lambda: dagster_instance.look_at_storage(home), needs="dagster home")
    yield Check("dagster daemon", lambda: dagster_instance.look_at_daemon(home, services), needs="dagster storage")
