"""The wheel of the Spark programs: built from their folder, and uploaded once a version."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

from ml_platform.errors import JobError
from ml_platform.gateways.jobs.databricks.volume import VolumeFiles
from ml_platform.settings import PROJECT_ROOT

SOURCES = PROJECT_ROOT / "dbx_jobs"
PACKAGE, ENTRY_POINT = "dbx_jobs", "dbx-job"

_BUILD = "from setuptools.build_meta import build_wheel; build_wheel('dist')"


class Wheel:
    """The programs as they are on this machine; another content is another path, and the same content the same."""

    def __init__(self, files: VolumeFiles, volume: str) -> None:
        self._files, self._folder = files, f"{volume}/wheels"

    @cached_property
    def path(self) -> str:
        """Where the wheel is in the volume, once it is there."""
        folder = f"{self._folder}/{content_hash(SOURCES)}"
        present = [name for name, _ in self._files.entries(folder) if name.endswith(".whl")]
        if present:
            return f"{folder}/{present[0]}"
        with tempfile.TemporaryDirectory(prefix="dbx_jobs_") as scratch:
            built = build(SOURCES, Path(scratch))
            self._files.make_folder(folder)
            self._files.write(f"{folder}/{built.name}", built.read_bytes())
            return f"{folder}/{built.name}"


def requirements() -> list[str]:
    """What the programs need besides what Databricks brings, each in the version that is installed here."""
    declared = tomllib.loads((SOURCES / "pyproject.toml").read_text())["project"]["dependencies"]
    return [f"{name}=={version(name)}" for name in (Requirement(each).name for each in declared)]


def content_hash(sources: Path) -> str:
    """Of the names and contents of all that goes into the wheel."""
    found = sha256()
    for path in _files(sources):
        found.update(f"{path.relative_to(sources).as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def build(sources: Path, scratch: Path) -> Path:
    """The wheel of a project, built in the folder `scratch`: the sources' own may be one that nobody may write to."""
    copy = scratch / sources.name
    for path in _files(sources):
        target = copy / path.relative_to(sources)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (copy / "dist").mkdir()
    # Without the time of day in it, two that are built at once are the same file.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run([sys.executable, "-c", _BUILD], cwd=copy, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise JobError(f"The wheel of {sources} cannot be built; correct its pyproject.toml: {done.stderr[-1000:]}")
    return next((copy / "dist").glob("*.whl"))


def _files(sources: Path) -> Iterator[Path]:
    yield sources / "pyproject.toml"
    yield from sorted(path for path in sources.rglob("*.py") if "build" not in path.relative_to(sources).parts)
