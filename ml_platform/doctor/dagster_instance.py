"""Dagster's instance: its home, its storage and their schema, and the heartbeats of its daemon."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_platform.doctor.check import CheckFailed, CheckSkipped, Seen
from ml_platform.errors import PlatformError
from ml_platform.processes import living

if TYPE_CHECKING:
    from dagster import DagsterInstance

SILENCE_SECONDS = 120
"""A daemon tells that it lives each 30 s."""


def look_at_home(home: Path) -> Seen:
    """Whether this process may write there; a home that is not there yet is made by the first command."""
    from importlib.metadata import version

    there = next(each for each in (home, *home.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise CheckFailed(
            f"{there} is no folder that this process may write to",
            f"Let the user {os.getuid()} write to {there}, or name another folder in ML_PLATFORM_HOME",
        )
    configured = (home / "dagster.yaml").exists()
    return {"home": str(home), "dagster": version("dagster"), "configured": configured}


def look_at_storage(home: Path) -> Seen:
    """Whether runs, events and schedules can be read, and have the schema of the Dagster that is installed."""
    with _instance(home) as instance:
        runs = instance.get_runs_count()
        stored = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        versions = [each.alembic_version() for each in stored if each]
        old = [f"{found[0]} instead of {found[1]}" for found in versions if found and found[0] != found[1]]
        if old:
            raise CheckFailed(
                f"the schema of Dagster's storage is {', '.join(old)}",
                "Stop what runs, make a copy of the database, then run `dagster instance migrate` with DAGSTER_HOME="
                f"{home}",
            )
        # They are made when they are first asked for, and fail then where dagster.yaml names them wrongly.
        parts = {"launcher": instance.run_launcher, "logs": instance.compute_log_manager}
        seen: Seen = {name: type(part).__name__ for name, part in parts.items()}
        schema = str(versions[0][0]) if versions[0] else ""
        return {"storage": _kind(instance), "runs": runs, "schema": schema} | seen


def look_at_daemon(home: Path, services: Path) -> Seen:
    """The heartbeats of each daemon that the instance needs. On a laptop it runs while `ml-platform up` does."""
    with _instance(home) as instance:
        beats = instance.get_daemon_heartbeats()
        if _kind(instance).startswith("Sqlite") and not _is_up(services):
            raise CheckSkipped("nothing is up here: `ml-platform up` starts the daemon")
        now = datetime.now(UTC).timestamp()
        required = sorted(instance.get_required_daemon_types())
    silent = [name for name in required if name not in beats or now - beats[name].timestamp > SILENCE_SECONDS]
    if silent:
        oldest = max((now - beats[name].timestamp for name in silent if name in beats), default=None)
        since = f"for {oldest:.0f} s" if oldest is not None else "at all"
        raise CheckFailed(
            f"{', '.join(silent)} told nothing {since}",
            f"Start Dagster's daemon again and look at its log: {services / 'daemon.log'}, or `kubectl logs` of the "
            "deployment that ends in -daemon",
        )
    failing = {name: beats[name].errors for name in required if beats[name].errors}
    if failing:
        name, errors = next(iter(failing.items()))
        said = (errors or [])[0].message.strip().splitlines()[-1][:300]
        raise CheckFailed(f"{', '.join(failing)} tell of errors: {said}", "Correct what the message says")
    return {"daemons": len(required), "latest_beat": _clock(max(beats[name].timestamp for name in required))}


@contextmanager
def _instance(home: Path) -> "Iterator[DagsterInstance]":
    """The instance as it is; none is made."""
    from dagster import DagsterInstance

    if not (home / "dagster.yaml").exists():
        raise CheckSkipped(f"there is no instance in {home} yet: the first command that needs one makes it")
    try:
        with DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except PlatformError:
        raise
    except Exception as error:  # what the classes that dagster.yaml names raise is theirs to choose
        raise _unusable(error, home / "dagster.yaml") from error


def _unusable(error: Exception, configured: Path) -> CheckFailed:
    from sqlalchemy.exc import SQLAlchemyError

    cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
    if isinstance(cause, SQLAlchemyError):
        return CheckFailed(
            f"Dagster's storage cannot be used: {_first_line(cause)}",
            f"Start the database that {configured} names, let this machine reach it, and correct its user, password "
            "and name there; give the user all rights on that database",
        )
    return CheckFailed(f"{configured}: {_first_line(error)}", f"Correct {configured} by Dagster's documentation")


def _first_line(error: BaseException) -> str:
    """Without the statement that SQLAlchemy adds."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:300]


def _kind(instance: "DagsterInstance") -> str:
    return type(instance.event_log_storage).__name__.removesuffix("EventLogStorage")


def _is_up(services: Path) -> bool:
    noted = services / "daemon.process"
    return noted.exists() and living(noted.read_text()) is not None


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
