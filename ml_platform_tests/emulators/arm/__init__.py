"""Azure Resource Manager for Machine Learning, emulated: one workspace that executes what it is sent.

Where a new kind of resource goes: a module beside these (jobs.py, endpoints.py) with a function `..._routes()` that
`app.routes` lists. What there is to build it from:

    resources.route(template, handler, method)   a route below the workspace: "/jobs/{name}"
    resources.arm_of(request)                    the service: store, operations, programs, record, folder, workspace
    resources.body_of(request, kind)             the PUT body, held against the published type; refuses and records
    resources.answered(request, resource)        a resource as answer, pruned to the API version and held against it
    resources.listed / action_body / action_answer   pages; POST actions such as listKeys
    state.Resource(kind, names, properties, extra, hidden)   `arm.store.put / find / get / below / delete`
    operations: arm.operations.start(work)       a long-running operation; `answered(..., 201, operation)` or
                                                 `accepted(request, operation)` say where it is polled
    answers: raise Refused(status, code, message, violation), invalid(message), not_found(what)
    programs: await arm.programs.start(arguments, environment, folder, log)   a process group; none outlives us
    content: await download(arm, uri, folder), upload(arm, folder, uri)       `azureml://` addresses, uploaded code
    mlflow: await arm.mlflow.create_run(run, experiment, name, tags), end_run(run, status)   the run of a job

Kinds are named as the published types below `workspaces`: "jobs", "onlineEndpoints/deployments".
"""
