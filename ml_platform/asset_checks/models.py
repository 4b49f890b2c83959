"""The checks of drift, performance, look-ups and the gate: thresholds over the rows that stand, and the registry's."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from dbx_jobs.checked_days import checked_days
from dbx_jobs.contract import CheckReport
from dbx_jobs.errors import DataError
from ml_platform.asset_checks.outcomes import Found
from ml_platform.asset_checks.tables import Ends, missing_days
from ml_platform.core import keys
from ml_platform.core.drift import comparisons, complete, judge_all, windows
from ml_platform.core.product import ProductSpec
from ml_platform.errors import EndpointError, LakeError, MonitorError
from ml_platform.gateways.build import Gateways
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.registry import GATE, GATE_REASONS, Registry
from ml_platform.settings import Settings
from ml_platform.stages import azureml_monitor
from ml_platform.stages.training import GATE as GATE_CHECK
from ml_platform.stages.verdicts import drift_check, online_check, performance_check
from ml_platform.training.mlflow_store import mlflow_client

Reports = dict[str, CheckReport]
"""By day."""
Judge = Callable[[Lake, ProductSpec, keys.AssetPath, Ends], Reports]


def check_models(
    gateways: Gateways, settings: Settings, product: ProductSpec, ends: Ends
) -> dict[str, Callable[[], Found]]:
    """By asset, what evaluates its checks."""
    lake = gateways.lake
    tables = {"drift": _drift, "performance": _performance}
    tables |= {"online_features": _online} if product.features.online else {}
    judges = {keys.monitoring(product.name, table): judge for table, judge in tables.items()}
    return {
        **{"/".join(path): partial(_by_day, lake, product, path, ends, judge) for path, judge in judges.items()},
        "/".join(keys.candidate(product.name)): partial(_gate, settings, product),
        "/".join(keys.endpoint(product.name)): partial(_endpoint, gateways, product),
    }


def _by_day(lake: Lake, product: ProductSpec, path: keys.AssetPath, ends: Ends, judge: Judge) -> Found:
    name = "/".join(path)
    try:
        lake.version(path)
    except LakeError:
        return Found(name, absent=f"there is no table: materialise {name}")
    reports = judge(lake, product, path, ends)
    try:
        days, missing = checked_days(reports, *ends)
    except DataError as error:
        return Found(name, problem=f"{lake.table(path)}: {error}")
    return Found(name, [reports[day] for day in days], missing_days(missing))


def _drift(lake: Lake, product: ProductSpec, path: keys.AssetPath, ends: Ends) -> Reports:
    policy = product.monitors.drift
    first, last = _ends(product, ends)
    before = (date.fromisoformat(first) - timedelta(days=policy.window_days - 1)).isoformat()
    daily = comparisons(lake.rows(path, before, last))
    judged = {day: judge_all(columns, policy) for day, columns in windows(daily, policy.window_days).items()}
    return {
        day: drift_check(day, columns, complete(daily, day, policy.window_days))
        for day, columns in judged.items()
        if first <= day <= last
    }


def _performance(lake: Lake, product: ProductSpec, path: keys.AssetPath, ends: Ends) -> Reports:
    rows = lake.rows(path, *_ends(product, ends))
    return {str(row["day"]): performance_check(product, str(row["day"]), row) for row in rows}


def _online(lake: Lake, product: ProductSpec, path: keys.AssetPath, ends: Ends) -> Reports:
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in lake.rows(path, *_ends(product, ends)):
        by_day[str(row["day"])].append(row)
    return {day: online_check(day, sorted(rows, key=itemgetter("feature"))) for day, rows in by_day.items()}


def _ends(product: ProductSpec, ends: Ends) -> tuple[str, str]:
    return ends[0] or product.start.isoformat(), ends[1] or (product.end or date.max).isoformat()


def _gate(settings: Settings, product: ProductSpec) -> Found:
    """The gate's verdict on the newest version, as the registry keeps it: the gate itself is not run again."""
    name = "/".join(keys.candidate(product.name))
    database = settings.mlflow_tracking_uri.removeprefix("sqlite:///")
    # MLflow would create the database that it is asked about.
    there = database == settings.mlflow_tracking_uri or Path(database).exists()
    version = _registry(settings).latest(product.name) if there else None
    if version is None:
        return Found(name, absent=f"no version of {product.name} is registered: materialise {name}")
    verdict = version.tags.get(GATE)
    if verdict is None:
        return Found(name, problem=f"the gate has not judged version {version.version}: run it")
    observed = f"version {version.version}: {verdict}, {version.tags.get(GATE_REASONS, '')}"
    return Found(name, [CheckReport(GATE_CHECK, verdict == "promote", "ERROR", None, observed)])


def _endpoint(gateways: Gateways, product: ProductSpec) -> Found:
    """What Azure ML's own monitor has found, as of now."""
    name, declared = "/".join(keys.endpoint(product.name)), product.monitors.azureml
    if declared is None or gateways.monitors.absent:
        return Found(name, absent=gateways.monitors.absent)
    try:
        watched = gateways.monitors.read(product.name)
        return Found(name, azureml_monitor.reports(declared, product.name, watched, gateways.endpoints))
    except (MonitorError, EndpointError) as error:
        return Found(name, problem=str(error))


def _registry(settings: Settings) -> Registry:

    return Registry(mlflow_client(settings.mlflow_tracking_uri), settings.home / "models")
