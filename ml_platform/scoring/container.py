"""Serves one deployment in a container behind a front end: what to serve comes from the environment, the rest it asks.

AZUREML_MODEL_DIR               the directory that Azure ML mounts, model.onnx and signature.json are in it
ML_PLATFORM_SCORING_DECLARATION the endpoint with this deployment alone, and the lake (container_contract.Contained)
ML_PLATFORM_SCORING_BEHIND      front-end: without it nothing starts
ML_PLATFORM_SCORING_PORT        5001, unless it is given
"""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ml_platform.scoring.container_contract import (
    INFERENCE_LOG,
    MODEL_VARIABLE,
    PORT,
    PORT_VARIABLE,
    Contained,
    contained,
    endpoint_folder,
)
from ml_platform.scoring.encoding import MODEL_FILE, SIGNATURE_FILE
from ml_platform.scoring.folders import open_folder
from ml_platform.scoring.lake_link import LakeLink
from ml_platform.scoring.listener import listen_at
from ml_platform.scoring.master import Master
from ml_platform.scoring.state import DECLARED_FILE, Declared, write_state

ALL_ADDRESSES = "0.0.0.0"

logger = logging.getLogger(__name__)


def contain(environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM, then let requests end and write out log and measures; raises SystemExit with the reason."""
    try:
        declared = _declared(contained(environment), environment)
        port = int(environment.get(PORT_VARIABLE) or PORT)
        deployment = declared.endpoint.deployments[0]
        folder = open_folder(endpoint_folder(contained(environment).lake, declared.endpoint.name))
    except ValueError as error:
        raise SystemExit(f"the container does not start: {error}") from error
    # Of this container alone: what it declares to its workers, and what they tell.
    with tempfile.TemporaryDirectory(prefix="scoring-") as scratch:
        directory = Path(scratch)
        write_state(directory / DECLARED_FILE, declared)
        master = Master(directory, listen_at(ALL_ADDRESSES, port), contained=True)
        link = LakeLink(directory, folder, deployment, give_up=master.ended.set)
        link.start()
        master.run()
        link.close()
        if link.refused:
            raise SystemExit(f"the deployment {deployment.name!r} is refused: {link.refused}")


def _declared(found: Contained, environment: Mapping[str, str]) -> Declared:
    serving = serving_directory(Path(environment[MODEL_VARIABLE]))
    deployment = msgspec.structs.replace(found.deployment, serving_dir=str(serving))
    endpoint = msgspec.structs.replace(found.endpoint, deployments=(deployment,), port=0)
    # Its role it reads in the lake.
    return Declared(1, endpoint, f"{found.lake.rstrip('/')}/{INFERENCE_LOG}", "unknown")


def serving_directory(root: Path) -> Path:
    """The one directory below `root` that a model is served from; raises ValueError where there is none, or more."""
    found = sorted(path.parent for path in root.rglob(SIGNATURE_FILE) if path.with_name(MODEL_FILE).is_file())
    if len(found) != 1:
        raise ValueError(f"{root} must have one directory with {MODEL_FILE} and {SIGNATURE_FILE}, it has {len(found)}")
    return found[0]
