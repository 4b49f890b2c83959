"""What a job does: it waits for a machine of the cluster, runs its command as a process there, and ends."""

import asyncio
import os
import re
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.emulators.arm.artifacts import run_folder
from ml_platform_tests.emulators.arm.blob_store import ARTIFACTS
from ml_platform_tests.emulators.arm.computes import IDENTITY_ROUTE, Cluster, cluster_of
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.arm.sweeps import Trials
from ml_platform_tests.emulators.identity import PRINCIPAL

ENDED = frozenset({"Completed", "Failed", "Canceled"})
MLFLOW_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
MACHINE = ("HOME", "LANG", "TMPDIR", "TZ")
"""What a machine of the cluster has from this one."""

NETWORK = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME")
"""What stands for the names and certificates of a real network; never a credential."""

ANOTHER_MACHINE_SECONDS = 2.0
"""After a machine was taken back."""

DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


async def begin(arm: Arm, job: Resource) -> None:
    """Let the job run; its task is kept."""
    job.hidden["task"] = asyncio.create_task(_run(arm, job))


async def cancel(arm: Arm, job: Resource) -> None:
    """Cancel a job and what it runs, and wait until it has ended."""
    if job.properties["status"] not in ENDED:
        job.properties["status"] = "CancelRequested"
        job.hidden["task"].cancel()
        with suppress(asyncio.CancelledError):
            await job.hidden["task"]


async def _run(arm: Arm, job: Resource) -> None:
    name, properties, ended = job.names[0], job.properties, "Failed"
    try:
        parent = {"mlflow.parentRunId": job.hidden["parent"]} if "parent" in job.hidden else {}
        experiment = await arm.mlflow.create_run(name, properties["experimentName"], properties["displayName"], parent)
        job.hidden["experiment"] = experiment
        if properties["jobType"] == "Sweep":
            properties["status"] = "Running"
            ended = await Trials(arm, job, begin, cancel).run()
        else:
            ended = await run_command(arm, job)
    except asyncio.CancelledError:
        ended = "Canceled"
    finally:
        if "experiment" in job.hidden:
            await arm.mlflow.end_run(name, MLFLOW_STATUS[ended])
        properties["status"] = ended


async def run_command(arm: Arm, job: Resource) -> str:
    """The state in which it ended; a job that lost its machine waits for another."""
    cluster = cluster_of(arm, job.properties["computeId"])
    while True:
        job.properties["status"] = "Queued"
        async with cluster.free:
            job.properties["status"] = "Running"
            ended = await _on_a_machine(arm, job, cluster)
        if ended:
            return ended
        job.properties["status"] = "Queued"
        await asyncio.sleep(ANOTHER_MACHINE_SECONDS)


async def _on_a_machine(arm: Arm, job: Resource, cluster: Cluster) -> str | None:
    """Run the command; None: the machine was taken back."""
    folder = arm.folder / "jobs" / job.names[0]
    folder.mkdir(parents=True, exist_ok=True)
    command = ["/bin/sh", "-c", job.properties["command"]]
    limit = seconds_of((job.properties.get("limits") or {}).get("timeout"))
    taken_back = cluster.preemptions.pop(0) if cluster.preemptions else float("inf")
    program = await arm.programs.start(command, environment(arm, job), folder, log_of(arm, job.names[0]))
    try:
        code = await asyncio.wait_for(program.wait(), min(limit, taken_back))
        return "Failed" if code else "Completed"
    except TimeoutError:
        return None if taken_back < limit else "Canceled"
    finally:
        await program.end(2.0)


def log_of(arm: Arm, job: str) -> Path:
    """Where the output of a job's command goes: among the artifacts of its run."""
    return arm.blobs.path(ARTIFACTS, f"{run_folder(job)}/user_logs/std_log.txt")


def environment(arm: Arm, job: Resource) -> dict[str, str]:
    """What a command finds: the machine's, the image's, the run's, the identity's if it asked for it, and its own."""
    mine = {name: os.environ[name] for name in (*MACHINE, *NETWORK) if name in os.environ}
    image = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(PROJECT_ROOT)}
    given = job.properties.get("environmentVariables") or {}
    asks = (job.properties.get("identity") or {}).get("identityType") == "Managed"
    return {**mine, **image, **run_variables(arm, job), **(identity_variables(arm) if asks else {}), **given}


def run_variables(arm: Arm, job: Resource) -> dict[str, str]:
    """What the service tells every run about itself, with a token for MLflow."""
    token, ends = arm.identity.issue("https://ml.azure.com")
    name, place = job.names[0], arm.workspace
    experiment = job.properties["experimentName"]
    return {
        "ARM_CLOUD_METADATA_URL": f"{arm.address}/metadata/endpoints?api-version=2022-09-01",
        "AZUREML_CURRENT_CLOUD": "LoopbackCloud",
        "AZUREML_RUN_ID": name,
        "AZUREML_RUN_TOKEN": token,
        "AZUREML_RUN_TOKEN_EXPIRY": str(ends),
        "AZUREML_ARM_SUBSCRIPTION": place.subscription,
        "AZUREML_ARM_RESOURCEGROUP": place.group,
        "AZUREML_ARM_WORKSPACE_NAME": place.name,
        "AZUREML_ARM_PROJECT_NAME": experiment,
        "MLFLOW_TRACKING_URI": arm.store.get("", ()).properties["mlFlowTrackingUri"],
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_EXPERIMENT_ID": job.hidden["experiment"],
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_RUN_ID": name,
    }


def identity_variables(arm: Arm) -> dict[str, str]:
    """How a command reaches the identity of its machine."""
    return {
        "MSI_ENDPOINT": f"{arm.plain_address}{IDENTITY_ROUTE}",
        "MSI_SECRET": arm.identity.secret,
        "DEFAULT_IDENTITY_CLIENT_ID": PRINCIPAL,
    }


def seconds_of(duration: str | None) -> float:
    """An ISO 8601 duration; none is for ever."""
    found = DURATION.fullmatch(duration or "")
    if found is None:
        return float("inf")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
