"""The model registry: MLflow, the same on a laptop's SQLite and on Azure ML; only the tracking URI differs.

What Azure ML's MLflow lacks is not used: aliases, an artifact path that is logged again, filters other than on names.
"""

import fcntl
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

from ml_platform.core.gate import Decision
from ml_platform.errors import GateError, RegistryError
from ml_platform.training.contract import REPORT_PATH, SERVING_PATH
from ml_platform.training.mlflow_store import experiment_id, mlflow_client, own_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
"""The alias that MLflow's own pages show on the version that serves, where the server has aliases."""

CHAMPION_SINCE = "champion_since"
"""Tag: when a version last became the champion. The version with the latest time is it: one write makes it so."""

GATE, GATE_CHAMPION, GATE_REASONS = "gate", "gate_champion", "gate_reasons"
"""Tags: the verdict, the champion's version that the challenger was compared with, and the reasons."""

ROLLOUT, ROLLOUT_AT, ROLLOUT_APPROVED_BY = "rollout", "rollout_at", "rollout_approved_by"
"""Tags: how the roll-out of a version stands, since when, and who let it answer requests."""

GATE_EVIDENCE, ROLLOUT_EVIDENCE = "gate_evidence", "rollout_evidence"
"""Tags: where among the artifacts of its run the newest evidence is; the older stays beside it."""

WAITING, SERVED, ROLLED_BACK = "waiting for approval", "served", "rolled back"

TAG_LENGTH = 4000


@dataclass(frozen=True)
class Version:
    """One registered version with its tags and its run's metrics."""

    model: str
    version: str
    run_id: str
    experiment_id: str
    created_at: datetime
    tags: dict[str, str]
    metrics: dict[str, float]

    @property
    def run_path(self) -> str:
        """The run's page, below the address of the MLflow UI."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.run_id}"


def initialise(tracking_uri: str, experiment: str, cache: Path, artifact_root: str | None = None) -> None:
    """Create the tracking database and the experiment if they do not exist yet.

    Call it once before several processes use a fresh database: MLflow's migrations must not race, so they run under
    a file lock here. `artifact_root` is where a new experiment keeps its artifacts.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "initialise.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        experiment_id(mlflow_client(tracking_uri), experiment, artifact_root)


class Registry:
    """What the platform asks of MLflow. `cache` keeps downloaded serving directories, by model and version.

    `before_change` is called before anything is written.
    """

    def __init__(self, client: "MlflowClient", cache: Path, before_change: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._cache = cache
        self._before_change = before_change

    def get(self, model: str, version: str) -> Version:
        """A version; raises RegistryError when there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._version(self._client.get_model_version(model, version))
        except MlflowException as error:
            raise RegistryError(f"the registry cannot give {model} version {version}: {error.message}") from error

    def latest(self, model: str) -> Version | None:
        """The newest version, candidate or not; None when nothing is registered."""
        found = self._client.search_model_versions(f"name='{model}'")
        newest = max(found, key=lambda item: int(item.version), default=None)
        return self._version(newest) if newest else None

    def champion(self, model: str) -> Version | None:
        """The version that became the champion last; None when none did. Raises RegistryError when nobody can tell."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.search_model_versions(f"name='{model}'")
        except MlflowException as error:
            raise RegistryError(f"the registry cannot say who is champion of {model}: {error.message}") from error
        crowned = [item for item in found if CHAMPION_SINCE in item.tags]
        newest = max(crowned, key=lambda item: item.tags[CHAMPION_SINCE], default=None)
        return self._version(newest) if newest else None

    def record_gate(self, model: str, version: str, decision: Decision) -> None:
        """Write the gate's decision on the version and its evidence among its run's artifacts."""
        found = self.get(model, version)
        if decision.evidence.challenger_version != version:
            raise GateError(
                f"the evidence is about version {decision.evidence.challenger_version} of {model}, not {version}"
            )
        self._tag(
            found,
            {
                GATE_EVIDENCE: self._log(found, "gate", asdict(decision)),
                GATE_CHAMPION: decision.evidence.champion_version or "none",
                GATE_REASONS: "; ".join(decision.reasons),
                GATE: decision.verdict,
            },
        )

    def approve(self, model: str, version: str, person: str) -> None:
        """A person's answer to a gate that asked; raises GateError where it did not ask."""
        found = self.get(model, version)
        if found.tags.get(GATE) != "ask":
            raise GateError(f"the gate of {model} version {version} says {found.tags.get(GATE)!r}: nothing to approve")
        self._tag(found, {"gate_approved_by": person, GATE: "promote"})

    def record_rollout(self, model: str, version: str, state: str, document: dict[str, Any]) -> None:
        """Write down how the roll-out of a version stands, and its evidence among its run's artifacts."""
        found = self.get(model, version)
        evidence = self._log(found, "rollout", document)
        self._tag(found, {ROLLOUT_EVIDENCE: evidence, ROLLOUT: state, ROLLOUT_AT: _now()})

    def approve_rollout(self, model: str, version: str, person: str) -> None:
        """A person's word that a version may answer requests; raises GateError unless its roll-out waits for it."""
        found = self.get(model, version)
        if found.tags.get(ROLLOUT) != WAITING:
            raise GateError(
                f"the roll-out of {model} version {version} is {found.tags.get(ROLLOUT, 'not begun')!r}: it waits for "
                "nobody"
            )
        self._tag(found, {ROLLOUT_APPROVED_BY: person, "rollout_approved_at": _now()})

    def roll_back(self, model: str, version: str, to: str, why: str) -> None:
        """Make `to` the champion again in place of `version`, which is not promoted any more; again changes nothing."""
        found, champion = self.get(model, version), self.champion(model)
        self._tag(found, {GATE_REASONS: f"rolled back: {why}", GATE: ROLLED_BACK})
        if champion and champion.version == version:
            self._crown(self.get(model, to), champion)

    def promote(self, model: str, version: str) -> Version:
        """Make the version the champion; doing it again changes nothing.

        Raises GateError unless its gate said `promote` in a comparison with the present champion.
        """
        found, champion = self.get(model, version), self.champion(model)
        if champion and champion.version == version:
            return champion
        if found.tags.get(GATE) != "promote":
            verdict, reasons = found.tags.get(GATE, "not run"), found.tags.get(GATE_REASONS, "run the gate first")
            raise GateError(f"{model} version {version} is not promoted: its gate says {verdict!r} ({reasons})")
        present = champion.version if champion else "none"
        if found.tags.get(GATE_CHAMPION) != present:
            raise GateError(
                f"{model} version {version} was compared with champion {found.tags.get(GATE_CHAMPION)}, "
                f"but the champion is {present} now: run the gate again"
            )
        self._tag(found, {"previous_champion": present, "promoted_at": _now()})
        self._crown(found, champion)  # last: a kill before it leaves no half champion
        return self.get(model, version)

    def serving_directory(self, model: str, version: str) -> Path:
        """The version's serving directory on this machine, downloaded once; raises RegistryError when it has none."""
        from mlflow.exceptions import MlflowException

        target = self._cache / model / version
        if target.is_dir():
            return target
        found = self.get(model, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(mkdtemp(dir=target.parent, prefix=".download-"))
        try:
            downloaded = Path(self._client.download_artifacts(found.run_id, SERVING_PATH, str(scratch)))
            downloaded.replace(target)
        except (MlflowException, OSError) as error:
            if target.is_dir():  # another process was first
                return target
            raise RegistryError(f"{model} version {version} has no {SERVING_PATH} to download: {error}") from error
        finally:
            shutil.rmtree(scratch)
        return target

    def recipe(self, model: str, version: str) -> tuple[str, dict[str, Any]]:
        """The estimator of a version and the parameters it was fitted with; raises RegistryError when they are lost."""
        from mlflow.exceptions import MlflowException

        found = self.get(model, version)
        with TemporaryDirectory() as scratch:
            try:
                report = json.loads(
                    Path(self._client.download_artifacts(found.run_id, REPORT_PATH, scratch)).read_text()
                )
            except (MlflowException, OSError) as error:
                raise RegistryError(f"{model} version {version} has no {REPORT_PATH} to read: {error}") from error
        return report["estimator"], report["parameters"]

    def _crown(self, version: Version, before: Version | None) -> None:
        """Make a version the champion, later than the one `before`, whatever the clocks of the two processes say."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # Azure ML has no aliases; nothing here reads one
            self._client.set_registered_model_alias(version.model, CHAMPION, version.version)
        since = datetime.now(UTC)
        if before:
            since = max(since, datetime.fromisoformat(before.tags[CHAMPION_SINCE]) + timedelta(microseconds=1))
        self._tag(version, {CHAMPION_SINCE: since.isoformat(timespec="microseconds")})

    def _log(self, version: Version, kind: str, document: dict[str, Any]) -> str:
        """Keep evidence about a version among its run's artifacts, under a name of its own; where it is."""
        self._before_change()
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = f"{kind}/version-{version.version}-{now}.json"
        with own_artifact():
            self._client.log_text(version.run_id, json.dumps(document, indent=1), path)
        return path

    def _tag(self, version: Version, tags: dict[str, str]) -> None:
        self._before_change()
        for name, value in tags.items():
            self._client.set_model_version_tag(version.model, version.version, name, value[:TAG_LENGTH])

    def _version(self, found: Any) -> Version:
        run = self._client.get_run(found.run_id)
        return Version(
            model=found.name,
            version=str(found.version),
            run_id=found.run_id,
            experiment_id=run.info.experiment_id,
            created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            tags=dict(found.tags),
            metrics=dict(run.data.metrics),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
