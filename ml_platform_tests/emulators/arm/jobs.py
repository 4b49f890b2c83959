"""Jobs: submitted, read, listed, cancelled and deleted. What one does stands in job_runs.py."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.answers import Refused, invalid
from ml_platform_tests.emulators.arm.computes import cluster_of
from ml_platform_tests.emulators.arm.job_runs import ENDED, begin, cancel
from ml_platform_tests.emulators.arm.operations import accepted
from ml_platform_tests.emulators.arm.resources import answered, arm_of, body_of, listed, route
from ml_platform_tests.emulators.arm.state import Arm, Resource
from ml_platform_tests.emulators.arm.sweeps import check_sweep
from ml_platform_tests.emulators.recording import KnownRoute

KIND = "jobs"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")
CHANGEABLE = {"description", "tags", "displayName", "properties", "isArchived", "services"}
ENVIRONMENT = re.compile(r"(?:azureml:)?/subscriptions/.+/environments/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")


def job_routes() -> list[KnownRoute]:
    return [
        route("/jobs", list_jobs),
        route("/jobs/{name}", get_job),
        route("/jobs/{name}", put_job, "PUT"),
        route("/jobs/{name}", delete_job, "DELETE"),
        route("/jobs/{name}/cancel", cancel_job, "POST"),
    ]


async def put_job(request: Request) -> Response:
    """Submit a job; of one that is there only what describes it may be changed."""
    arm, name = arm_of(request), request.path_params["name"]
    body = await body_of(request, KIND)
    given = {key: value for key, value in body["properties"].items() if value is not None}
    old = arm.store.find(KIND, (name,))
    if old is None:
        job = arm.store.put(_submitted(arm, name, given))
        await begin(arm, job)
        return answered(request, job, 201)
    changed = sorted(k for k in given.keys() - CHANGEABLE if given[k] != old.hidden["given"].get(k))
    if changed:
        raise invalid(
            f"A job with this name already exists. If you are trying to submit a new job, use a different name. If you "
            f"are trying to update an existing job, the existing job's {', '.join(changed)} cannot be changed."
        )
    old.properties |= {key: value for key, value in given.items() if key in CHANGEABLE}
    return answered(request, old)


def _submitted(arm: Arm, name: str, given: dict[str, Any]) -> Resource:
    if not NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name of a job: letters, digits, '-' and '_' only")
    if given["jobType"] not in ("Command", "Sweep"):
        raise Refused(501, "NotImplemented", f"The emulator runs no {given['jobType']} jobs", violation=True)
    trial = given["trial"] if given["jobType"] == "Sweep" else given
    if given["jobType"] == "Sweep":
        check_sweep(given)
    _check_environment(arm, trial["environmentId"])
    cluster_of(arm, given.get("computeId", ""))
    experiment = given.get("experimentName") or "Default"
    page = f"https://ml.azure.com/runs/{name}?wsid={arm.workspace.id}"
    studio = {"endpoint": page, "jobServiceType": "Studio", "port": None, "status": None, "properties": {}}
    defaults = {"description": None, "tags": {}, "properties": {}, "isArchived": False, "displayName": name}
    services = {"Studio": studio}
    properties = {**defaults, **given, "experimentName": experiment, "services": services, "status": "NotStarted"}
    return Resource(KIND, (name,), properties, hidden={"given": given})


def _check_environment(arm: Arm, environment: str) -> None:
    found = ENVIRONMENT.fullmatch(environment)
    if found is None:
        raise invalid(f"environmentId {environment!r} is no ARM id of an environment's version")
    arm.store.get("environments/versions", (found["name"], found["version"]))


async def get_job(request: Request) -> Response:
    return answered(request, arm_of(request).store.get(KIND, (request.path_params["name"],)))


async def list_jobs(request: Request) -> Response:
    """Newest first; `jobType`, `tag`, `scheduleId` and the view are honoured."""
    query, found = request.query_params, arm_of(request).store.below(KIND, ())
    if query.get("listViewType", "ActiveOnly") == "ActiveOnly":
        found = [job for job in found if not job.properties["isArchived"]]
    if kind := query.get("jobType"):
        found = [job for job in found if job.properties["jobType"] == kind]
    if tag := query.get("tag"):
        found = [job for job in found if tag in job.properties["tags"]]
    if schedule := query.get("scheduleId"):
        found = [job for job in found if job.hidden.get("schedule") == schedule]
    return listed(request, found)


async def cancel_job(request: Request) -> Response:
    arm = arm_of(request)
    job = arm.store.get(KIND, (request.path_params["name"],))
    if job.properties["status"] in ENDED:
        raise Refused(400, "UserError", f"The job {job.names[0]} is {job.properties['status']}: it cannot be canceled.")

    async def work() -> None:
        await cancel(arm, job)

    return accepted(request, arm.operations.start(work))


async def delete_job(request: Request) -> Response:
    arm = arm_of(request)
    job = arm.store.get(KIND, (request.path_params["name"],))

    async def work() -> None:
        await cancel(arm, job)
        arm.store.delete(job)

    return accepted(request, arm.operations.start(work))
