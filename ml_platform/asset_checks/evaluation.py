"""From a selection of assets to the outcome of each of their checks; a check that nothing evaluates never passes."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.asset_selection import DagsterInvalidAssetSelectionError
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from dbx_jobs.contract import CheckReport, Severity
from ml_platform.asset_checks.models import check_models
from ml_platform.asset_checks.outcomes import Found, Outcome
from ml_platform.asset_checks.products import Declared
from ml_platform.asset_checks.tables import Ends, check_tables, tables_to_check
from ml_platform.errors import PlatformError
from ml_platform.gateways.build import Gateways
from ml_platform.settings import Settings

EXPECTED = ("lake", "features")
"""Groups whose tables must be there also when nobody selected them: without them there is nothing to check."""


class SelectionError(PlatformError):
    """The question makes no sense: no selection, or one that has no checks."""


@dataclass(frozen=True)
class Wanted:
    """What to check: assets in Dagster's selection syntax (empty: all) and days."""

    select: str = ""
    ends: Ends = (None, None)


def check_assets(
    definitions: dg.Definitions,
    products: Sequence[Declared],
    gateways: Gateways,
    settings: Settings,
    wanted: Wanted,
) -> list[Outcome]:
    """The outcome of every check of the selected assets, in order of asset and check; nothing is written anywhere.

    What was selected must be there. Without a selection, monitoring tables and models that do not exist yet are
    skipped. Raises SelectionError for a selection that is none or that has no checks.
    """
    graph = definitions.resolve_asset_graph()
    selected = _selected(graph, wanted.select)
    checks = [key for key in graph.asset_check_keys if key.asset_key in selected]
    if not checks:
        known = ", ".join(sorted({key.asset_key.to_user_string() for key in graph.asset_check_keys}))
        raise SelectionError(f"--select {wanted.select!r} selects no asset with checks; these have some: {known}")
    assets = {key.asset_key.to_user_string() for key in checks}
    found = {one.asset: one for one in _find(assets, products, gateways, settings, wanted.ends)}
    outcomes = []
    for key in sorted(checks, key=lambda key: (key.asset_key.path, key.name)):
        asset = key.asset_key.to_user_string()
        required = bool(wanted.select) or graph.get(key.asset_key).group_name in EXPECTED
        severity: Severity = "ERROR" if graph.get(key).blocking else "WARN"
        outcomes.append(_outcome(asset, key.name, found.get(asset, Found(asset)), severity, required))
    return outcomes


def _selected(graph: AssetGraph, select: str) -> Set[dg.AssetKey]:
    try:
        return (dg.AssetSelection.from_string(select) if select else dg.AssetSelection.all()).resolve(graph)
    except DagsterInvalidAssetSelectionError as error:
        example = 'write key:"lake/*" or group:features+'
        raise SelectionError(f"--select {select!r} is no selection of assets: {example}") from error


def _find(
    assets: Set[str], products: Iterable[Declared], gateways: Gateways, settings: Settings, ends: Ends
) -> Iterator[Found]:
    products = list(products)
    tables = [table for each in products for table in tables_to_check(gateways.lake, each, ends)]
    yield from check_tables(gateways.jobs, [table for table in tables if table.name in assets])
    for each in products:
        for asset, evaluate in check_models(gateways, settings, each.product, ends).items():
            if asset in assets:
                yield evaluate()


def _outcome(asset: str, check: str, found: Found, declared: Severity, required: bool) -> Outcome:
    if found.absent and not required:
        return Outcome(asset, check, declared, skipped=found.absent)
    reports = [report for report in found.reports if report.name == check]
    problem = found.problem or found.absent or found.unknown.get(check, "")
    if not (reports or problem):
        problem = "nothing evaluates this check over a lake as it stands"
    return Outcome(asset, check, _severity(reports, declared), reports, problem)


def _severity(reports: Sequence[CheckReport], declared: Severity) -> Severity:
    """The worst of what failed, else of all: a check may be of another severity from day to day."""
    shown = [report for report in reports if not report.passed] or reports
    if not shown:
        return declared
    return "ERROR" if any(report.severity == "ERROR" for report in shown) else "WARN"
