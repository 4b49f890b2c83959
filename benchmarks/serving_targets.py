"""The servers that `benchmarks.serving` compares: a model of the same parameters in each, equally many workers."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from benchmarks.newest_values import fill_newest
from benchmarks.pickled_pipeline import fit_pipeline, probability, write_pipeline
from benchmarks.server_process import Target, free_port, serving
from benchmarks.wrk import Request
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.endpoints import Deployment, EndpointDeclaration, LocalEndpoints
from ml_platform.gateways.lake import Lake
from ml_platform.scoring.encoding import Encoder, read_signature
from ml_platform.scoring.listener import ADDRESS
from ml_platform.scoring.pyfunc import ServingModel
from ml_platform.scoring.state import LOCK_FILE, OnlineDeclaration
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform.stages.serving import declared_online

OURS, ONLINE = "this server", "with online features"
NOTHING, TASKLESS = "no-op handler", "no-op without a task"
MLFLOW, AZURE = "mlflow models serve", "Azure ML server"

WORKERS = 1
"""Processes of each server that answer. More of them compare anything only where each has a processor, beside wrk's."""

JSON = {"content-type": "application/json"}
AZURE_SERVER = "azureml-inference-server-http==1.5.1"
AZURE_PACKAGES = ("joblib", "lightgbm", "numpy", "pandas", "scikit-learn")
"""In the versions of this environment, which pickles the pipeline."""

AZURE_HOME = PROJECT_ROOT / "build" / "azure-server"
AZURE_MAIN = f"from azureml_inference_server_http import amlserver as s; s.DEFAULT_HOST = '{ADDRESS}'; s.run()"
"""What its command `azmlinfsrv` does, but on the loopback: that command listens to the network and has no option."""


@dataclass(frozen=True)
class Subject:
    """What all of them answer about: one record, scored by the champion, whose serving directory is `directory`.

    `recipe` is the champion's estimator with its parameters.
    """

    settings: Settings
    product: ProductSpec
    version: str
    directory: Path
    recipe: tuple[str, dict[str, Any]]
    record: Mapping[str, Any]
    scratch: Path

    @property
    def inputs(self) -> dict[str, Any]:
        """The record without its key."""
        return {name: self.record[name] for name in read_signature(self.directory).names}


@contextmanager
def this_server(subject: Subject) -> Iterator[Target]:
    """The endpoint as it is deployed: keys, validation and inference log on."""
    with _deployed(subject, subject.scratch, subject.record) as target:
        yield target


@contextmanager
def with_online_features(subject: Subject) -> Iterator[Target]:
    """The same for a caller that sends what it knows: the rest comes from SQLite."""
    online = declared_online(subject.product, subject.settings)
    assert online
    folder = subject.scratch / "online"
    flight = fill_newest(subject.product, subject.settings, folder / "store")
    # The values are of the last day that landed, the requests of now.
    lasting = msgspec.structs.replace(
        online, store_uri=(folder / "store").as_uri(), ttl_seconds=1e10, ttl_seconds_of={}
    )
    record = {name: flight[name] for name in online.request}
    with _deployed(subject, folder, record, lasting) as target:
        target.probability()
        model = ServingModel(subject.directory)
        matrix = Encoder(model.signature).encode_records([_last_logged(log_folder(folder))])
        yield replace(target, expected=float(model.score_matrix(matrix)[0]))


def endpoint_folder(folder: Path, name: str) -> Path:
    """Where the endpoint of that name keeps what it counts; `folder` is the scratch folder of `this_server`."""
    return folder / "endpoints" / name


def log_folder(folder: Path) -> Path:
    """Its inference log."""
    return folder / "log"


@contextmanager
def _deployed(
    subject: Subject, folder: Path, record: Mapping[str, Any], online: OnlineDeclaration | None = None
) -> Iterator[Target]:
    name = subject.product.name
    directory = endpoint_folder(folder, name)
    endpoints = LocalEndpoints(directory.parent, str(log_folder(folder)))
    try:
        uri = endpoints.deploy(_declaration(subject, online)).scoring_uri
        headers = {**JSON, "authorization": f"Bearer {endpoints.keys(name).primary}"}
        host = int((directory / LOCK_FILE).read_text())
        yield Target(Request(uri, msgspec.json.encode(record), headers), psutil.Process(host))
    finally:
        endpoints.delete(name)


def _last_logged(log: Path) -> dict[str, Any]:
    """The input of the last request in a log that is being written."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for file in log.rglob("model_inputs/**/*.jsonl"):
            if lines := file.read_bytes().splitlines():
                return msgspec.json.decode(lines[-1])["data"][0]
    raise TimeoutError(f"nothing was logged below {log}")


@contextmanager
def no_op(subject: Subject, handler: str = "app") -> Iterator[Target]:
    """A handler that reads the same request and answers a constant, in the same server: the limit of the stack."""
    port = free_port()
    headers = {**JSON, "authorization": f"Bearer {secrets.token_urlsafe(32)}"}
    request = Request(f"http://{ADDRESS}:{port}/score", msgspec.json.encode(subject.record), headers)
    command = [sys.executable, "-m", "benchmarks.no_op_server", str(port), str(WORKERS), handler]
    with serving(command, _environment(), request, subject.scratch / f"no-op-{handler}.log") as target:
        yield target


@contextmanager
def mlflow_server(subject: Subject) -> Iterator[Target]:
    """MLflow's own server of the same registered model."""
    port, inputs = free_port(), subject.inputs
    frame = {"columns": list(inputs), "data": [list(inputs.values())]}
    request = Request(f"http://{ADDRESS}:{port}/invocations", msgspec.json.encode({"dataframe_split": frame}), JSON)
    model = f"models:/{subject.product.name}/{subject.version}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "-h", ADDRESS, "-p", str(port)]
    environment = {
        **_environment(),
        "MLFLOW_TRACKING_URI": subject.settings.mlflow_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # With `local` it runs uvicorn by its bare name: an environment that is not activated would not find it.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    worker = ["--env-manager", "local", "--workers", str(WORKERS)]
    with serving([*command, *worker], environment, request, subject.scratch / "mlflow.log") as target:
        yield target


@contextmanager
def azure_server(subject: Subject) -> Iterator[Target]:
    """Azure ML's inference server with a model and a scoring script of the usual kind, not with the champion itself."""
    pipeline = fit_pipeline(Lake(subject.settings.lake_uri), subject.product, *subject.recipe)
    directory = subject.scratch / "pipeline"
    write_pipeline(pipeline, directory)
    port = free_port()
    request = Request(f"http://{ADDRESS}:{port}/score", msgspec.json.encode({"data": [subject.inputs]}), JSON)
    script = Path(__file__).with_name("azure_scoring.py")
    files = ["--entry_script", str(script), "--model_dir", str(directory)]
    command = [_azure_python(), "-c", AZURE_MAIN, *files, "--port", str(port), "--worker_count", str(WORKERS)]
    with serving(command, {}, request, subject.scratch / "azure.log") as target:
        yield replace(target, expected=probability(pipeline, subject.inputs))


TARGETS: Mapping[str, Callable[[Subject], AbstractContextManager[Target]]] = {
    OURS: this_server,
    ONLINE: with_online_features,
    NOTHING: no_op,
    TASKLESS: partial(no_op, handler="taskless"),
    MLFLOW: mlflow_server,
    AZURE: azure_server,
}
"""In the order of their turns; they are compared in RATIOS."""


def dropped_rows(target: Target) -> int:
    """Rows that this server's inference log has lost."""
    uri = httpx.URL(target.request.uri).join("/health/ready")
    return httpx.get(uri, trust_env=False).raise_for_status().json()["inference_log"]["dropped_rows"]


def _declaration(subject: Subject, online: OnlineDeclaration | None) -> EndpointDeclaration:
    product = subject.product
    return EndpointDeclaration(
        name=product.name,
        deployments=(Deployment("blue", product.name, subject.version, str(subject.directory)),),
        traffic={"blue": 100},
        primary_key=tuple(product.features.primary_key),
        event_time=product.features.event_time,
        workers=WORKERS,
        online=online,
    )


def _environment() -> dict[str, str]:
    """This checkout for servers that import from it, wherever they are started."""
    return {"PYTHONPATH": str(PROJECT_ROOT)}


def _azure_python() -> str:
    """The Python of the Azure ML server's own environment, made when it is not there: it has pins of its own."""
    python, stamp = AZURE_HOME / "bin" / "python", AZURE_HOME / "requirements.txt"
    wanted = "\n".join([AZURE_SERVER, *(f"{name}=={version(name)}" for name in AZURE_PACKAGES)])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {AZURE_SERVER} into {AZURE_HOME}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(AZURE_HOME)], check=True)
        pip = [str(python), "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted.splitlines()], check=True)
        # Last, so that an installation that was cut off is made anew.
        stamp.write_text(wanted)
    return str(python)
