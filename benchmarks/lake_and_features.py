"""How long a year of flights takes from landed files to features, against the floor: reading and writing the same data.

The floor is what delta-rs and pyarrow need, in this process, to read the landed CSV files and write a Delta table, and
to read and write the feature table: no parsing rules, no quarantine, no checks, no features.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyarrow import csv

from benchmarks.year import PRODUCT, year
from ml_platform.gateways.lake.local import local_path


def main() -> None:
    """Print seconds and the ratio to the floor of each table."""
    with year() as run:
        run.build_tables()
        lake = local_path(run.settings.lake_uri)
        floors = {
            "lake_flights": rewrite_csv(lake / "landing" / "flights"),
            "lake_weather": rewrite_csv(lake / "landing" / "weather"),
            f"features_{PRODUCT}": rewrite_delta(lake / "features" / PRODUCT),
        }
        print(f"{'a year of':<26}{'seconds':>9}{'floor':>9}{'ratio':>8}")
        for name, floor in floors.items():
            print(f"{name:<26}{run.seconds[name]:>9.1f}{floor:>9.1f}{run.seconds[name] / floor:>8.1f}")


def rewrite_csv(folder: Path) -> float:
    """Seconds to read every landed file of a source and write one Delta table."""
    started = monotonic()
    tables = [csv.read_csv(file) for file in sorted(folder.rglob("*.csv"))]
    _write(pa.concat_tables([t for t in tables if t.num_rows], promote_options="permissive"))
    return monotonic() - started


def rewrite_delta(folder: Path) -> float:
    """Seconds to read a Delta table and write it again with its partitions."""
    started = monotonic()
    _write(DeltaTable(str(folder)).to_pyarrow_table(), ["day"])
    return monotonic() - started


def _write(table: pa.Table, partitions: list[str] | None = None) -> None:
    with TemporaryDirectory() as target:
        write_deltalake(target, table, partition_by=partitions)


if __name__ == "__main__":
    main()
