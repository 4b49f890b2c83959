"""Brings the data of a monitor's signal into a frame: logged JSON lines of a window, or a Delta table by an MLTable."""

import asyncio
import json
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ml_platform_tests.emulators.arm.answers import invalid
from ml_platform_tests.emulators.arm.content import ADDRESS, download
from ml_platform_tests.emulators.arm.job_runs import seconds_of
from ml_platform_tests.emulators.arm.state import Arm

ASSET = re.compile(r"(?:azureml:(?P<name>[^/:]+):(?P<version>[^/:]+)|.*/data/(?P<n>[^/]+)/versions/(?P<v>[^/]+))")
DAYS = re.compile(
    r"col\('day'\) >= datetime\((\d+), (\d+), (\d+)\) and col\('day'\) <= datetime\((\d+), (\d+), (\d+)\)"
)
HOUR = re.compile(r".*/(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+\.jsonl")


@dataclass(frozen=True)
class MonitorData:
    """What the monitor finds when it runs at a time."""

    arm: Arm
    at: datetime

    def rows(self, declared: dict[str, Any]) -> pd.DataFrame:
        """The rows of a signal's input; none is the failure of its job."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = asyncio.run(download(self.arm, self._uri(declared["uri"]), Path(scratch)))
            table = declared["jobInputType"].lower() == "mltable"
            found = self._table(folder) if table else self._logged(folder, declared)
        if found.empty:
            raise invalid(f"{declared['uri']}: there is no data in the window")
        return found

    def _uri(self, uri: str) -> str:
        """Where an asset's folder is; another address is itself."""
        asset = ASSET.fullmatch(uri)
        if asset is None:
            return uri
        names = (asset["name"] or asset["n"], asset["version"] or asset["v"])
        return self.arm.store.get("data/versions", names).properties["dataUri"]

    def _logged(self, folder: Path, declared: dict[str, Any]) -> pd.DataFrame:
        """As the preprocessor does it: the hours of the window, a row with its id for each record."""
        last = self.at - timedelta(seconds=seconds_of(declared["windowOffset"]))
        first = last - timedelta(seconds=seconds_of(declared["windowSize"]))
        rows = []
        for file in sorted(folder.rglob("*.jsonl")):
            hour = HOUR.fullmatch(file.as_posix())
            if hour and first <= datetime(*map(int, hour.groups()), tzinfo=UTC) <= last:  # type: ignore[arg-type]
                for line in map(json.loads, file.read_text().splitlines()):
                    rows += [
                        {**each, "correlationid": f"{line['correlationid']}_{n}"} for n, each in enumerate(line["data"])
                    ]
        return pd.DataFrame(rows)

    def _table(self, folder: Path) -> pd.DataFrame:
        from deltalake import DeltaTable

        document = yaml.safe_load((folder / "MLTable").read_text())
        [place], steps = document["paths"], document["transformations"]
        parts = ADDRESS.fullmatch(place["folder"])
        assert parts, place
        store = self.arm.store.get("datastores", (parts[1],)).properties
        uri = f"abfss://{store['containerName']}@{store['accountName']}.dfs.core.windows.net/{parts[2]}"
        version = steps[0]["read_delta_lake"].get("version_as_of")
        rows: Any = DeltaTable(uri, version=version).to_pandas()
        for step in steps[1:]:
            days = DAYS.fullmatch(step["filter"])
            assert days, step
            numbers = [int(each) for each in days.groups()]
            rows = rows[rows["day"].between(date(*numbers[:3]), date(*numbers[3:]))]
        return rows
