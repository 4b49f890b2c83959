"""Starts and stops what a deployment on this machine runs: Dagster's code server, web server and daemon, and MLflow."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlparse

import httpx
from rich.console import Console

from ml_platform.errors import PlatformError, SettingsError
from ml_platform.instance import CONFIGURATION, deployed_home, is_own
from ml_platform.runs import end_abandoned, end_workers
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform.supervision import Service, supervised
from ml_platform.training.mlflow_store import mlflow_client

if TYPE_CHECKING:
    from dagster import DagsterInstance

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000
DAGSTER, MLFLOW = "Dagster UI", "MLflow"
MLFLOW_SETTINGS = {
    # Its job runner starts five processes that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
LOCATION = "ml_platform"
MODULE = "ml_platform.definitions"
LOCAL = "127.0.0.1"
SERVED_ELSEWHERE = ("azureml", "databricks", "http", "https", "uc")
"""Schemes of tracking URIs that a server answers: MLflow's UI opens databases and folders only."""


class Page(NamedTuple):
    """A user interface and where it is."""

    name: str
    url: str


def prepare_home(settings: Settings) -> None:
    """Create the folders and stores of the platform's own home once, before several processes race to do it.

    A dagster.yaml that somebody else has put there stays. Raises SettingsError where there is none to copy, as in the
    images of a deployment.
    """
    own = is_own(settings.dagster_home)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    if own:
        _configure(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    os.environ |= MLFLOW_SETTINGS
    from dagster import DagsterInstance

    if own:
        with DagsterInstance.get() as instance:
            end_abandoned(instance)
    mlflow_client(settings.mlflow_tracking_uri).search_experiments(max_results=1)


def open_instance(settings: Settings) -> "DagsterInstance":
    """The instance that a person's command is about: of the deployment in DAGSTER_HOME, else of the prepared home.

    Nothing is tidied up in a deployment's: its daemon does that, and its runs may be processes of other machines.
    Raises SettingsError for one that cannot be opened.
    """
    from dagster import DagsterInstance

    home = deployed_home()
    if home is None:
        prepare_home(settings)
        return DagsterInstance.get()
    os.environ |= MLFLOW_SETTINGS
    try:
        return DagsterInstance.from_config(str(home))
    except Exception as error:  # what the classes that dagster.yaml names raise is theirs to choose
        said = str(error).strip().splitlines() or [""]
        raise SettingsError(
            f"The instance of Dagster that {home / CONFIGURATION} names (DAGSTER_HOME) cannot be opened: "
            f"{type(error).__name__}: {said[0]}. `ml-platform doctor` says what to do"
        ) from error


def _configure(settings: Settings) -> None:
    template = PROJECT_ROOT / "deployments" / "local" / CONFIGURATION
    if not template.exists():
        raise SettingsError(
            f"There is no {template} to make an instance of Dagster with in {settings.dagster_home}: run the command "
            f"in a checkout. To ask a deployment's, name the folder with its {CONFIGURATION} in DAGSTER_HOME, which is "
            f"{os.environ.get('DAGSTER_HOME', '')!r}"
        )
    shutil.copyfile(template, settings.dagster_home / CONFIGURATION)


@contextmanager
def user_interfaces(settings: Settings, module: str = MODULE) -> Iterator[list[Page]]:
    """Dagster's UI and MLflow's, each answering, with what is behind them; at the end all is stopped, runs included.

    `module` is the code location. A service that dies is started again, and the runs that lived on go on. Where a
    server keeps what MLflow tracks, as a workspace of Azure ML does, none is started here: the page is the settings'.
    """
    code, ui, daemon = _dagster(settings, module)
    elsewhere = urlparse(settings.mlflow_tracking_uri).scheme in SERVED_ELSEWHERE
    mlflow = [] if elsewhere else [_mlflow(settings)]
    pages = [Page(each.name, each.url) for each in (ui, *mlflow)]
    environment = os.environ | _addresses(settings, ui, *mlflow)
    environment |= {"ML_PLATFORM_HOME": str(settings.home), "DAGSTER_HOME": str(settings.dagster_home)}
    try:
        with supervised([*mlflow, code, ui, daemon], settings.home / "services", environment, PROJECT_ROOT):
            yield [*pages, Page(MLFLOW, settings.mlflow_ui)] if elsewhere else pages
    finally:
        from dagster import DagsterInstance

        with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            end_workers(instance)


def _dagster(settings: Settings, module: str) -> tuple[Service, Service, Service]:
    """Code server, web server and daemon.

    The first keeps its port, also over a restart of all, if it can: runs remember where their code is served.
    """
    workspace = settings.dagster_home / "workspace.yaml"
    known = re.search(r"port: (\d+)", workspace.read_text()) if workspace.exists() else None
    code_port = _free_port(int(known[1]) if known else 0)
    ui_port = _free_port(urlparse(settings.dagster_ui).port or DAGSTER_PORT)
    code = ["api", "grpc", "-m", module, "-d", str(PROJECT_ROOT), "-h", LOCAL, "-p", str(code_port)]
    code += ["--location-name", LOCATION, "--use-python-environment-entry-point", "--lazy-load-user-code"]
    server = f"{{host: {LOCAL}, port: {code_port}, location_name: {LOCATION}}}"
    workspace.write_text(f"load_from:\n  - grpc_server: {server}\n")
    ui_url = f"http://{LOCAL}:{ui_port}"
    ui = ["-h", LOCAL, "-p", str(ui_port), "-w", str(workspace)]
    return (
        Service("Code server", "dagster", code, "", lambda: _listens(code_port), before_others=True),
        Service(DAGSTER, "dagster_webserver", ui, ui_url, _healthy(f"{ui_url}/server_info")),
        Service("Daemon", "dagster._daemon", ["run", "-w", str(workspace)], "", lambda: True),
    )


def _mlflow(settings: Settings) -> Service:
    port = _free_port(urlparse(settings.mlflow_ui).port or MLFLOW_PORT)
    arguments = ["server", "--backend-store-uri", settings.mlflow_tracking_uri, "--workers", "1"]
    arguments += ["--default-artifact-root", settings.mlflow_artifact_uri, "--host", LOCAL, "--port", str(port)]
    url = f"http://{LOCAL}:{port}"
    return Service(MLFLOW, "mlflow", arguments, url, _healthy(f"{url}/health"))


def _addresses(settings: Settings, *services: Service) -> dict[str, str]:
    """Where links lead to, unless the settings name other addresses: a preferred port may have been taken."""
    named = {DAGSTER: "dagster_ui", MLFLOW: "mlflow_ui"}
    found = {named[each.name]: each.url for each in services}
    return {f"ML_PLATFORM_{name.upper()}": url for name, url in found.items() if name not in settings.model_fields_set}


def keep_up(console: Console) -> None:
    """Wait for Ctrl-C or a termination."""
    console.print("Press Ctrl-C to stop.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        signal.pause()


def _healthy(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.TransportError:
            return False

    return answers


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOCAL, port)) == 0


def _free_port(preferred: int) -> int:
    """The preferred port, or any free one when it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOCAL, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise PlatformError("There is no free port on this machine")
