"""The command `ml-platform check-assets`."""

from pathlib import Path

import click
from rich.console import Console

from ml_platform.asset_checks.evaluation import SelectionError, Wanted, check_assets
from ml_platform.asset_checks.products import declared_products
from ml_platform.asset_checks.report import sentence, table, write_junit
from ml_platform.asset_checks.tables import Ends
from ml_platform.definitions import defs
from ml_platform.gateways.build import build_gateways
from ml_platform.settings import Settings

LOG_WIDTH = 180
"""Of a table that goes to a file or to CI's log, which wraps no words."""


def check(console: Console, select: str, ends: Ends, junit: Path | None) -> bool:
    """Evaluate, print the table and write the JUnit file; False when an ERROR check failed or one has no verdict.

    Raises click's UsageError for days or a selection that cannot be.
    """
    if ends[0] and ends[1] and ends[0] > ends[1]:
        raise click.UsageError(f"--from {ends[0]} lies after --to {ends[1]}")
    settings = Settings()
    try:
        outcomes = check_assets(defs(), declared_products(), build_gateways(settings), settings, Wanted(select, ends))
    except SelectionError as error:
        raise click.UsageError(str(error)) from error
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print(table(outcomes))
    console.print(f"{sentence(outcomes)} in {settings.lake_uri}", soft_wrap=True)
    if junit:
        write_junit(outcomes, junit)
    return not any(outcome.breaks for outcome in outcomes)
