"""The command `ml-platform doctor`."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError
from rich.console import Console

from ml_platform.doctor.check import Result
from ml_platform.doctor.chosen import chosen_checks
from ml_platform.doctor.report import as_json, show, show_verdict, well
from ml_platform.doctor.running import examine
from ml_platform.doctor.secrets import hider
from ml_platform.errors import SettingsError
from ml_platform.settings import Settings

HASTE = {
    # A doctor says soon what a run would wait for: by itself MLflow tries for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "25",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def diagnose(console: Console, json: bool, seconds: float) -> bool:
    """Check what the deployment of this environment depends on and show what was found; whether nothing failed."""
    _keep_quiet()
    results = []
    for result in examined(seconds):
        results.append(result)
        if not json:
            show(console, result)
    if json:
        sys.stdout.write(as_json(results) + "\n")
    else:
        show_verdict(console, results)
    return well(results)


def examined(seconds: float) -> Iterator[Result]:
    """The results of the checks of the deployment that the environment describes, without any secret."""
    os.environ |= {name: value for name, value in HASTE.items() if name not in os.environ}
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        yield _unset(error)
        return
    hide = hider(settings)
    for result in examine(chosen_checks(settings), seconds):
        yield replace(result, seen=hide(result.seen), reason=hide(result.reason), remedy=hide(result.remedy))


def _unset(error: ValidationError | SettingsError) -> Result:
    remedy = "Correct these variables: without them it is not known what this deployment is"
    if isinstance(error, SettingsError):
        return Result("settings", "failed", reason=hider(None)(str(error)), remedy=remedy)
    wrong = [f"ML_PLATFORM_{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
    return Result("settings", "failed", reason="; ".join(wrong), remedy=remedy)


def _keep_quiet() -> None:
    """What libraries log and warn of is told by the checks, or is no matter; a log may quote an address."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
