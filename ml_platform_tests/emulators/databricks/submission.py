"""What is wrong with a submitted run: by the published schema of Asset Bundles, and by the service's own rules."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

JOBS = "#/$defs/github.com/databricks/databricks-sdk-go/service/jobs."
FIELDS = {"run_name", "tasks", "environments", "idempotency_token", "timeout_seconds", "queue", "run_as", "git_source"}
KINDS = ("python_wheel_task", "spark_python_task", "notebook_task", "spark_jar_task", "sql_task", "dbt_task")
COMPUTE = ("new_cluster", "existing_cluster_id", "environment_key")
MOST_TOKEN, MOST_PARAMETERS = 64, 10_000


@dataclass(frozen=True)
class Published:
    """The schema in a folder; without a folder nothing is checked."""

    folder: Path | None

    @cached_property
    def _schema(self) -> dict[str, Any]:
        text = (self.folder or Path()).joinpath("databricks", "bundle-schema.json").read_text()
        # JSON Schema's regular expressions know Unicode classes, Python's do not.
        return json.loads(
            text.replace(r"\\p{L}", r"[^\\W\\d_]").replace(r"[^\\W\\d_]\\p{N}", r"\\w").replace(r"\\p{N}", r"\\d")
        )

    def problems(self, kind: str, body: Any) -> Iterator[str]:
        """What in `body` is not as `jobs.<kind>` is published."""
        if self.folder is None:
            return
        validator = Draft202012Validator({"$ref": f"{JOBS}{kind}", "$defs": self._schema["$defs"]})
        for error in validator.iter_errors(body):
            yield from (f"{'.'.join(map(str, part.absolute_path)) or kind}: {part.message}" for part in _parts(error))


def _parts(error: ValidationError) -> Iterator[ValidationError]:
    """What an error comes from; of the alternatives not that of a bundle, which is a reference to a variable."""
    if not error.context:
        if not (isinstance(error.schema, Mapping) and "pattern" in error.schema):
            yield error
        return
    for part in error.context:
        yield from _parts(part)


def problems(published: Published, body: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong with the body of runs/submit."""
    yield from (f"unknown field {name}" for name in sorted(set(body) - FIELDS))
    tasks, environments = body.get("tasks", []), body.get("environments", [])
    for environment in environments:
        yield from published.problems("JobEnvironment", environment)
    for task in tasks:
        yield from published.problems("Task", task)
        yield from _of_task(task, {environment.get("environment_key") for environment in environments})
    if len(tasks) != 1:
        yield f"{len(tasks)} tasks: the emulator runs one"
    if len(body.get("idempotency_token", "")) > MOST_TOKEN:
        yield f"idempotency_token is longer than {MOST_TOKEN} characters"


def _of_task(task: Mapping[str, Any], environments: set[str]) -> Iterator[str]:
    kinds, compute = [k for k in KINDS if k in task], [c for c in COMPUTE if c in task]
    if kinds != ["python_wheel_task"]:
        yield f"the emulator runs python_wheel_task, not {kinds}"
    if not re.fullmatch(r"[\w-]{1,100}", task.get("task_key", "")):
        yield f"task_key {task.get('task_key')!r} is no key"
    if len(compute) != 1:
        yield f"a task has one of {COMPUTE}, not {compute}"
    if len(json.dumps(task.get("python_wheel_task", {}).get("parameters", []))) > MOST_PARAMETERS:
        yield f"parameters are longer than {MOST_PARAMETERS} bytes"
    if "environment_key" in task:
        yield from _of_serverless(task, environments)
    if "new_cluster" in task:
        yield from _of_cluster(task["new_cluster"])


def _of_serverless(task: Mapping[str, Any], environments: set[str]) -> Iterator[str]:
    if task["environment_key"] not in environments:
        yield f"environment {task['environment_key']} is not declared"
    if "libraries" in task:
        yield "Libraries field is not supported for serverless task, please specify libraries in environment."


def _of_cluster(cluster: Mapping[str, Any]) -> Iterator[str]:
    if "spark_version" not in cluster:
        yield "new_cluster has no spark_version"
    if not {"node_type_id", "instance_pool_id", "policy_id"} & set(cluster):
        yield "new_cluster has neither node_type_id nor instance_pool_id nor policy_id"
    if not {"num_workers", "autoscale", "is_single_node"} & set(cluster):
        yield "new_cluster has neither num_workers nor autoscale"
