"""The lake of the jobs' tests in a container of a storage account."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from ml_platform.gateways.lake import files_at
from ml_platform_tests.jobs.landed import Lake


@dataclass(frozen=True)
class StoredLake(Lake):
    """As Lake, its files under `at`; `root` keeps what processes leave on this machine."""

    at: str

    def land(self, source: str, day: str, content: str | bytes, name: str = "rows.csv") -> Path:
        path = Path("landing", source, day, name)
        if isinstance(content, str):
            content = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
        files_at(self.at).write(str(path), content)
        return path

    def uri(self, path: str) -> str:
        return f"{self.at}/{path}"
