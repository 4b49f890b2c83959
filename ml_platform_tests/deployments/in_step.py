"""Deployment and code in step: each setting that the cloud needs is set, each variable that is set is read."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_platform.errors import PlatformError
from ml_platform.gateways.jobs.azureml import PIPES_FOLDER
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform_tests.deployments import bicep
from ml_platform_tests.deployments.values import Unknown, at
from ml_platform_tests.deployments.yaml_files import documents, variables

PREFIX = "ML_PLATFORM_"
NOT_IN_THE_CLOUD = {
    "azureml_online_store_secret": "the Redis of deployments has no password",
    "databricks_online_store_secret": "the Redis of deployments has no password",
    "mlflow_artifact_uri": "an Azure ML workspace says itself where its experiments keep their artefacts",
    "online_store_password": "identities log in to Redis with tokens of Entra",
    "pictures": "as on a laptop",
    "replay_clock": "only replays tell an endpoint what time it is",
    "training_threads": "the same everywhere: trainings would not repeat",
}
LEAST_DAYS = 2
"""A run that was retried finds the job of the one before, and reads what it told."""
# Where the file is used by hand, who uses it sets these.
BY_HAND = {"ENDPOINT", "DEPLOYMENT", "MODEL", "MODEL_VERSION", "DECLARATION", "PRODUCT"}
OF_A_DEPLOYMENT = {"IMAGE_TAG", "ENVIRONMENT_VERSION"}


def problems(deployments: Path) -> Iterator[str]:
    """What is out of step."""
    settings = bicep.read(deployments / "azure" / "bicep" / "main.bicep").outputs["settings"]
    present = {name: file for file, name in _set(deployments)} | dict.fromkeys(settings, Path("bicep/main.bicep"))
    yield from _settings(set(present))
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    read = known | _read_by_code()
    for name, file in sorted(present.items()):
        if name.startswith(PREFIX) and name not in read:
            yield f"azure/{file}: sets {name}, which nothing reads"
    yield from _values(settings)
    yield from _variables(deployments)
    yield from _environment(deployments)
    yield from _transport(deployments)


def _settings(present: set[str]) -> Iterator[str]:
    for field in Settings.model_fields:
        name = f"{PREFIX}{field.upper()}"
        if field not in NOT_IN_THE_CLOUD and name not in present:
            yield f"azure: no file sets {name}, which ml_platform/settings.py reads"
    yield from (f"in_step.py: there is no setting {field}" for field in NOT_IN_THE_CLOUD.keys() - Settings.model_fields)
    # Of two declarations, as a merge may leave them, Python takes the later one and says nothing.
    declared = re.findall(
        r"^    (\w+): .*= Field\(", (PROJECT_ROOT / "ml_platform" / "settings.py").read_text(), re.MULTILINE
    )
    yield from (f"ml_platform/settings.py: declares {name} twice" for name, n in Counter(declared).items() if n > 1)


def _set(deployments: Path) -> Iterator[tuple[Path, str]]:
    """Each variable that a file sets, with that file."""
    folder = deployments / "azure"
    for path in sorted(folder.rglob("*.y*ml")):
        for document in documents(path):
            yield from ((path.relative_to(folder), name) for name in _named(document))
    for path in sorted(folder.rglob("*.Dockerfile")):
        for name in re.findall(rf"\b({PREFIX}[A-Z_]+)=", path.read_text()):
            yield path.relative_to(folder), name


def _named(value: Any) -> Iterator[str]:
    """Names of variables: of containers, of secrets that become variables, of an Azure ML deployment."""
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, Mapping):
        if {"name", "value"} <= value.keys():
            yield str(value["name"])
        if {"objectName", "key"} <= value.keys():
            yield str(value["key"])
        yield from value.get("environment_variables") or {}
        for child in value.values():
            yield from _named(child)


def _read_by_code() -> set[str]:
    """Variables that a program reads itself: an endpoint's container has no settings."""
    sources = [*(PROJECT_ROOT / "ml_platform").rglob("*.py"), *(PROJECT_ROOT / "dbx_jobs").rglob("*.py")]
    text = "".join(path.read_text() for path in sources)
    return set(re.findall(rf'"({PREFIX}[A-Z_]+)"', text))


def _values(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is known of the values already, held against the types of the settings."""
    from pydantic import ValidationError

    known = {
        name.removeprefix(PREFIX).lower(): value for name, value in settings.items() if not isinstance(value, Unknown)
    }
    for name, value in settings.items():
        if not isinstance(value, str | Unknown):
            yield f"azure/bicep/main.bicep: {name} is {value!r}: variables are strings"
    try:
        Settings(**{name: value for name, value in known.items() if name in Settings.model_fields})
    except PlatformError as error:
        yield f"azure/bicep/main.bicep: {error}"
    except ValidationError as error:
        for each in error.errors():
            yield f"azure/bicep/main.bicep: {'.'.join(map(str, each['loc']))}: {each['msg']}"


def _variables(deployments: Path) -> Iterator[str]:
    """`${...}` of the files against what Bicep hands out."""
    names = bicep.read(deployments / "azure" / "bicep" / "main.bicep").outputs["names"]
    folder = deployments / "azure"
    used: set[str] = set()
    for path, name in variables(folder):
        used.add(name)
        if name not in names and name not in BY_HAND | OF_A_DEPLOYMENT:
            yield f"{path.relative_to(deployments)}: ${{{name}}} is no output `names` of bicep/main.bicep"
    others = (folder / "deploy").read_text() + (folder / "postgres" / "roles.sql").read_text()
    others += (deployments.parent / "docs" / "deploy-on-azure.md").read_text()
    for name in names:
        if name not in used and not re.search(rf"\b{name}\b", others):
            yield f"azure/bicep/main.bicep: nothing uses the output {name}"


def _transport(deployments: Path) -> Iterator[str]:
    """The rule that deletes what jobs were asked and told: of their folder alone, and not before they have ended."""
    file, folder = "azure/bicep/modules/storage.bicep", f"lake/{PIPES_FOLDER}/"
    rules = [
        definition
        for resource in bicep.read(deployments / file).resources
        if resource.type.endswith("/managementPolicies")
        for definition in at(resource.body, "properties.policy.rules.[].definition")
    ]
    days: list[Any] = []
    for rule in rules:
        prefixes, deleted = (at(rule, place) for place in (_PREFIXES, _DELETED))
        if wide := [each for each in prefixes if folder.startswith(str(each)) and each != folder and deleted != [None]]:
            yield f"{file}: what lies below {wide} is deleted, which is more than that below {folder}"
        days += deleted if folder in prefixes else []
    if not days or days == [None]:
        yield f"{file}: no rule deletes what jobs of Azure ML leave below {folder}"
    elif not isinstance(days[0], int) or days[0] < LEAST_DAYS:
        yield f"{file}: what lies below {folder} is deleted after {days[0]} days: a run may still read it"


_PREFIXES = "filters.prefixMatch.[]"
_DELETED = "actions.baseBlob.delete.daysAfterModificationGreaterThan"


def _environment(deployments: Path) -> Iterator[str]:
    """What the files of parameters read from the environment, against what the workflow sets."""
    folder = deployments / "azure"
    workflow = (deployments.parent / ".github" / "workflows" / "deploy-environment.yaml").read_text()
    given = set(re.findall(r"^ {10}([A-Z_]+): ", workflow, flags=re.MULTILINE)) | {"ALERT_URLS"}
    for path in sorted((folder / "bicep").glob("*.bicepparam")):
        for name in sorted(set(re.findall(r"readEnvironmentVariable\('(\w+)'", path.read_text())) - given):
            yield f"{path.relative_to(deployments)}: reads {name}, which deploy-environment.yaml does not set"
