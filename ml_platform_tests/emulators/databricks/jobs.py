"""One-time runs: submit, get, get-output, cancel and list of Jobs 2.2, and what tests want of the compute."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ml_platform_tests.emulators.databricks.app import Refused, route, workspace_of
from ml_platform_tests.emulators.databricks.runs import Run
from ml_platform_tests.emulators.databricks.submission import problems
from ml_platform_tests.emulators.recording import CONTROL

RUNS = "/api/2.2/jobs/runs/"
FIRST_RUN, APART = 1_000_000_000_001, 10


def job_routes() -> list[BaseRoute]:
    """The routes of runs; `/_emulator/runs` tells all bodies, `/_emulator/compute` changes how runs end."""
    return [
        route(f"{RUNS}submit", _submit, "POST"),
        route(f"{RUNS}get", _get),
        route(f"{RUNS}get-output", _output),
        route(f"{RUNS}cancel", _cancel, "POST"),
        route(f"{RUNS}list", _list),
        Route(f"{CONTROL}runs", _all),
        Route(f"{CONTROL}compute", _change, methods=["POST"]),
        Route(f"{CONTROL}secrets", _secrets, methods=["POST"]),
    ]


async def _submit(request: Request) -> Response:
    workspace, body = workspace_of(request), await request.json()
    token = body.get("idempotency_token")
    same = [run for run in workspace.runs.values() if token and run.body.get("idempotency_token") == token]
    if same:
        return JSONResponse({"run_id": same[0].run_id})
    if wrong := list(problems(workspace.published, body)):
        workspace.record.violate("runs/submit", *wrong)
        raise Refused(400, "INVALID_PARAMETER_VALUE", "; ".join(wrong))
    run = Run(FIRST_RUN + APART * len(workspace.runs), body, workspace.address)
    workspace.runs[run.run_id] = run
    workspace.compute.start(run)
    return JSONResponse({"run_id": run.run_id})


async def _get(request: Request) -> Response:
    return JSONResponse(_run(request, request.query_params["run_id"]).told())


async def _output(request: Request) -> Response:
    run_id = request.query_params["run_id"]
    run = _run(request, run_id)
    if int(run_id) != run.task_run_id:
        workspace_of(request).record.violate("runs/get-output", f"{run_id} is the run of a job, not of a task")
        message = "Retrieving the output of runs with multiple tasks is not supported."
        raise Refused(400, "INVALID_PARAMETER_VALUE", message)
    return JSONResponse({"metadata": run.told()["tasks"][0], **run.output})


async def _cancel(request: Request) -> Response:
    run = _run(request, str((await request.json())["run_id"]))
    run.cancelled = True
    workspace_of(request).compute.cancel(run)
    return JSONResponse({})


async def _list(request: Request) -> Response:
    asked = request.query_params
    runs = sorted(workspace_of(request).runs.values(), key=lambda run: -run.run_id)
    if asked.get("active_only") == "true":
        runs = [run for run in runs if not run.over]
    if asked.get("completed_only") == "true":
        runs = [run for run in runs if run.over]
    first, most = int(asked.get("page_token") or 0), int(asked.get("limit") or 20)
    answer: dict[str, Any] = {"runs": [run.told() for run in runs[first : first + most]]}
    more = first + most < len(runs)
    return JSONResponse(answer | {"has_more": more} | ({"next_page_token": str(first + most)} if more else {}))


async def _all(request: Request) -> Response:
    runs = workspace_of(request).runs.values()
    return JSONResponse([run.told() | {"body": run.body} for run in runs])


async def _change(request: Request) -> Response:
    compute = workspace_of(request).compute
    for name, value in (await request.json()).items():
        setattr(compute.whims, name, value)
    return JSONResponse({})


async def _secrets(request: Request) -> Response:
    """What the secret scopes hold: references, such as {{secrets/SCOPE/KEY}}, and their values."""
    workspace_of(request).compute.secrets |= await request.json()
    return JSONResponse({})


def _run(request: Request, run_id: str) -> Run:
    """The run of this number, or that of its task."""
    for run in workspace_of(request).runs.values():
        if int(run_id) in (run.run_id, run.task_run_id):
            return run
    raise Refused(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")
