"""The commands `ml-platform assets` and `ml-platform diff-assets`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ml_platform.asset_checks.products import declared_products
from ml_platform.asset_list.changes import as_markdown, compare
from ml_platform.asset_list.listing import Entry, as_json, list_assets
from ml_platform.definitions import defs

LOG_WIDTH = 240
"""Of a table that goes to a file."""


def show_list(console: Console, whole: bool) -> None:
    """Print the assets of the code location: `whole` as JSON, else a table to read."""
    assets = list_assets(defs(), declared_products())
    if whole:
        sys.stdout.write(as_json(assets))
        return
    table = Table("asset", "group", "partitions", "reads", "checks", "automation")
    for asset, entry in assets.items():
        automation = entry["automation"]
        table.add_row(
            asset,
            entry["group"],
            "daily" if entry["partitions"] else "",
            ", ".join(entry["deps"]),
            ", ".join(sorted(entry["checks"])),
            (automation["label"] or automation["digest"]) if automation else "",
        )
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print(table)


def show_changes(base: Path, head: Path) -> None:
    """Print what the list in `head` changes in that in `base`; raises click's UsageError for a file that is none."""
    after = _read(head)
    sys.stdout.write(as_markdown(compare(_read(base), after), after))


def _read(path: Path) -> Mapping[str, Entry]:
    try:
        assets: Any = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        hint = "write it with `ml-platform assets --json`"
        raise click.UsageError(f"{path} is no list of assets ({error}): {hint}") from error
    return assets
