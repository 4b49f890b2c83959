"""What the endpoint answered becomes tables: the log, the labels that arrived, drift and performance, day by day."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from dbx_jobs.contract import Days, TableInput, TableReport, from_dict
from dbx_jobs.monitoring_contract import (
    GroundTruthRequest,
    InferenceLogRequest,
    PerformanceRequest,
    ProfileRequest,
)
from dbx_jobs.online_contract import OnlineCheckRequest
from ml_platform.core import keys
from ml_platform.core.drift import PREDICTION, ColumnDrift, Comparison, comparisons, complete, judge_all, windows
from ml_platform.core.product import OnlineSpec, ProductSpec
from ml_platform.core.spec import MetricName
from ml_platform.errors import GateError
from ml_platform.gateways.jobs import Jobs, Program
from ml_platform.gateways.lake import NOTHING, Lake
from ml_platform.gateways.registry import Registry
from ml_platform.scoring.encoding import BASELINE_FILE, OUTPUT
from ml_platform.settings import Settings
from ml_platform.stages import plots
from ml_platform.stages.conditions import follow
from ml_platform.stages.partitions import daily, days_between, days_of
from ml_platform.stages.roles import online_table, roles
from ml_platform.stages.table_asset import Events, publish, rows_fit_spec
from ml_platform.stages.upstream import Inputs, Upstream
from ml_platform.stages.verdicts import CHECK, EQUAL, drift_check, online_check, online_sums, performance_check

LEAD_DAYS = 1
"""A prediction is logged at most this many days before the day of its event."""

BRIDGE = 1
"""A day's labels turn final with a later day's first ones: what lies between is measured with both, in one program."""

TREND_DAYS = 30
"""Days before a run's first that its pictures show as well."""

Entries = dict[str, Any]


def build(product: ProductSpec) -> list[dg.AssetsDefinition]:
    """The daily tables `monitoring/<product>/{inference_log,ground_truth,drift,performance,online_features}`."""
    online = product.features.online
    return [
        *(_inference_log(product), _ground_truth(product), _drift(product), _performance(product)),
        *([_online_features(product, online)] if online else []),
    ]


def reads(product: ProductSpec) -> dict[keys.AssetPath, Inputs]:
    """What each table reads of other tables."""
    log, truth = (keys.monitoring(product.name, table) for table in ("inference_log", "ground_truth"))
    # Made from the endpoint's files, which a sensor follows.
    endpoint = Upstream(keys.endpoint(product.name), daily=False, required="none", followed=False)
    # A new champion makes no past day stale: each day is compared with the model that served on it.
    champion = Upstream(keys.champion(product.name), daily=False, required="none", followed=False)
    logged = Upstream(log, first=-LEAD_DAYS, required="own")
    # A day's labels become final with the first event after they have matured, which is on the day after that.
    matured = product.monitors.performance.maturity_days + 1
    labels = Upstream(keys.features(product.name), last=matured, required="none")
    # Each request was completed from the tables as they were: what they became since makes nothing stale.
    looked_up = Upstream(keys.online_features(product.name), daily=False, required="none", followed=False)
    online = {keys.monitoring(product.name, "online_features"): Inputs(product, [Upstream(log), looked_up])}
    return (online if product.features.online else {}) | {
        log: Inputs(product, [endpoint]),
        truth: Inputs(product, [logged, labels]),
        keys.monitoring(product.name, "drift"): Inputs(product, [Upstream(log), champion]),
        keys.monitoring(product.name, "performance"): Inputs(product, [logged, Upstream(truth)]),
    }


def _inference_log(product: ProductSpec) -> dg.AssetsDefinition:
    spec = _spec(
        product,
        "inference_log",
        "Every request that the endpoint answered on the day, with its prediction.",
    )

    @_daily_table(product, spec, [rows_fit_spec(spec.key)])
    def inference_log(
        context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs], lake: dg.ResourceParam[Lake]
    ) -> Events:
        logged = lake.logged(product.name, product.timezone)
        read = {day: logged.get(day, NOTHING) for day in context.partition_keys}
        request = InferenceLogRequest(
            collector_uri=f"{lake.inference_log()}/{product.name}",
            table_uri=lake.table(keys.monitoring(product.name, "inference_log")),
            quarantine_uri=lake.quarantine(f"{product.name}_inference_log"),
            features=_table(lake, keys.features(product.name)),
            roles=roles(product),
            timezone=product.timezone,
            days=days_of(context),
            output=OUTPUT,
        )
        report = from_dict(TableReport, jobs.run(context, Program.INFERENCE_LOG, request))
        yield from publish(context, spec.key, report, read, quarantine=request.quarantine_uri)

    return inference_log


def _ground_truth(product: ProductSpec) -> dg.AssetsDefinition:
    path, features = keys.monitoring(product.name, "ground_truth"), keys.features(product.name)
    spec = _spec(
        product,
        "ground_truth",
        "The labels that have arrived for the predictions on the day's events, provisional until they have matured.",
    )

    @_daily_table(product, spec)
    def ground_truth(
        context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs], lake: dg.ResourceParam[Lake]
    ) -> Events:
        read = reads(product)[path].require(context.instance, context.partition_keys)
        table = _table(lake, features)
        request = GroundTruthRequest(
            inference_log=_table(lake, keys.monitoring(product.name, "inference_log")),
            features=table,
            table_uri=lake.table(path),
            roles=roles(product),
            watermark_table=table,
            watermark_column=product.features.event_time,
            timezone=product.timezone,
            maturity_days=product.monitors.performance.maturity_days,
            days=days_of(context),
            lead_days=LEAD_DAYS,
        )
        report = from_dict(TableReport, jobs.run(context, Program.GROUND_TRUTH, request))
        yield from publish(context, spec.key, report, read, report.extra)

    return ground_truth


def _drift(product: ProductSpec) -> dg.AssetsDefinition:
    path, log = keys.monitoring(product.name, "drift"), keys.monitoring(product.name, "inference_log")
    spec = _spec(
        product,
        "drift",
        "How far features and prediction are from the champion's training window (PSI, Jensen-Shannon).",
    )

    within = "PSI above its sampling noise stays below psi_alert; ERROR where the prediction's does not."

    @_daily_table(product, spec, [dg.AssetCheckSpec(CHECK, asset=spec.key, description=within)])
    def drift(
        context: dg.AssetExecutionContext,
        jobs: dg.ResourceParam[Jobs],
        lake: dg.ResourceParam[Lake],
        registry: dg.ResourceParam[Registry],
        settings: dg.ResourceParam[Settings],
    ) -> Events:
        read = reads(product)[path].require(context.instance, context.partition_keys)
        champion = registry.champion(product.name)
        if champion is None:
            raise GateError(
                f"{product.name} has no champion to compare with: materialise models/{product.name}/champion"
            )
        baseline = registry.serving_directory(product.name, champion.version) / BASELINE_FILE
        days = days_of(context)
        request = ProfileRequest(
            inference_log=_table(lake, log),
            table_uri=lake.table(path),
            baseline=json.loads(baseline.read_text()),
            model_version=champion.version,
            days=days,
        )
        report = from_dict(TableReport, jobs.run(context, Program.PROFILE, request))
        length = product.monitors.drift.window_days
        first = _trend(product, days)[0] if settings.pictures else days_between(product, days.start, 1 - length)[0]
        daily_counts = comparisons(lake.rows(path, first, days.end))
        histograms = windows(daily_counts, length)
        judged = {day: judge_all(columns, product.monitors.drift) for day, columns in histograms.items()}
        mine = {day: judged.get(day, []) for day in context.partition_keys}
        checks = [drift_check(day, columns, complete(daily_counts, day, length)) for day, columns in mine.items()]
        metadata = {day: _drift_entries(columns) for day, columns in mine.items()}
        if settings.pictures:
            metadata[days.end] |= _drift_pictures(product, judged, histograms.get(days.end, []), mine[days.end])
        yield from publish(context, spec.key, replace(report, checks=checks), read, metadata)

    return drift


def _performance(product: ProductSpec) -> dg.AssetsDefinition:
    path, policy = keys.monitoring(product.name, "performance"), product.monitors.performance
    log, truth = (keys.monitoring(product.name, table) for table in ("inference_log", "ground_truth"))
    spec = _spec(
        product,
        "performance",
        "How good the day's predictions were, with 95 % intervals, on the labels that have arrived.",
    )

    within = "Floors and ceilings hold on the days whose labels have matured."

    @_daily_table(product, spec, [dg.AssetCheckSpec(CHECK, asset=spec.key, description=within)])
    def performance(
        context: dg.AssetExecutionContext,
        jobs: dg.ResourceParam[Jobs],
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Events:
        days = days_of(context)
        read = reads(product)[path].require(context.instance, context.partition_keys)
        request = PerformanceRequest(
            inference_log=_table(lake, log),
            ground_truth=_table(lake, truth),
            table_uri=lake.table(path),
            label=product.model.label,
            days=days,
            lead_days=LEAD_DAYS,
            ledger_uri=lake.table(keys.monitoring(product.name, "ledger")),
        )
        report = from_dict(TableReport, jobs.run(context, Program.PERFORMANCE, request))
        checks = [performance_check(product, day, row) for day, row in report.extra.items()]
        ledger = {"ledger": request.ledger_uri}
        metadata: dict[str, Entries] = {day: _known(row) | ledger for day, row in report.extra.items()}
        if settings.pictures:
            metrics: list[MetricName] = sorted({product.model.metric.name, *policy.floors, *policy.ceilings})
            trend = plots.performance_over_time(lake.rows(path, *_trend(product, days)), metrics, policy)
            metadata[days.end] |= {"performance over time": dg.MetadataValue.md(trend)}
        yield from publish(context, spec.key, replace(report, checks=checks), read, metadata)

    return performance


def _online_features(product: ProductSpec, online: OnlineSpec) -> dg.AssetsDefinition:
    path, log = keys.monitoring(product.name, "online_features"), keys.monitoring(product.name, "inference_log")
    spec = _spec(
        product,
        "online_features",
        "How many values of each feature the endpoint looked up for the day's requests, and how many differ offline.",
    )

    equal = "What the endpoint computed and looked up is what the feature table's transformation gives as of then."

    @_daily_table(product, spec, [dg.AssetCheckSpec(EQUAL, asset=spec.key, description=equal)])
    def online_features(
        context: dg.AssetExecutionContext, jobs: dg.ResourceParam[Jobs], lake: dg.ResourceParam[Lake]
    ) -> Events:
        read = reads(product)[path].require(context.instance, context.partition_keys)
        request = OnlineCheckRequest(
            table=online_table(product, online, lake),
            inference_log=_table(lake, log),
            table_uri=lake.table(path),
            days=days_of(context),
        )
        report = from_dict(TableReport, jobs.run(context, Program.CHECK_ONLINE, request))
        checks = [online_check(day, rows) for day, rows in report.extra.items()]
        metadata: dict[str, Entries] = {day: dict(online_sums(rows)) for day, rows in report.extra.items()}
        yield from publish(context, spec.key, replace(report, checks=checks), read, metadata)

    return online_features


def _spec(product: ProductSpec, table: str, description: str) -> dg.AssetSpec:
    path = keys.monitoring(product.name, table)
    inputs = reads(product)[path]
    return dg.AssetSpec(
        dg.AssetKey(path),
        deps=inputs.deps,
        automation_condition=follow(inputs, BRIDGE) if any(u.followed for u in inputs.upstream) else None,
        description=description,
        group_name="monitoring",
        kinds={"deltalake", "spark"},
        owners=product.owners,
        tags={"product": product.name},
        partitions_def=daily(product),
    )


def _daily_table(
    product: ProductSpec, spec: dg.AssetSpec, checks: Sequence[dg.AssetCheckSpec] = ()
) -> Callable[[Callable[..., Iterator[Any]]], dg.AssetsDefinition]:
    """An asset that writes the table of `spec`, one job for a range of days, one writer at a time."""
    table = spec.key.path[-1]
    return dg.multi_asset(
        name=f"{product.name}_{table}",
        specs=[spec],
        check_specs=checks or None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"table_monitoring_{product.name}_{table}",
    )


def _table(lake: Lake, path: keys.AssetPath) -> TableInput:
    return TableInput(lake.table(path), lake.version(path))


def _trend(product: ProductSpec, days: Days) -> tuple[str, str]:
    return days_between(product, days.start, -TREND_DAYS)[0], days.end


def _drift_entries(columns: Sequence[ColumnDrift]) -> Entries:
    prediction = next((column for column in columns if column.column == PREDICTION), None)
    entries: Entries = {
        "alerts": sum(c.verdict == "alert" for c in columns),
        "warnings": sum(c.verdict == "warn" for c in columns),
    }
    if prediction and prediction.psi is not None:
        entries |= {"prediction_psi": prediction.psi, "prediction_js": prediction.js}
    return entries


def _drift_pictures(
    product: ProductSpec,
    judged: Mapping[str, Sequence[ColumnDrift]],
    histograms: Sequence[Comparison],
    columns: Sequence[ColumnDrift],
) -> Entries:
    pictures = {"heat map": plots.drift_heat_map(judged, product.monitors.drift)} if judged else {}
    worst = columns[0].column if columns else ""
    for comparison in histograms:
        if comparison.column in (worst, PREDICTION):
            pictures[f"distribution of {comparison.column}"] = plots.distribution(comparison)
    return {name: dg.MetadataValue.md(markdown) for name, markdown in pictures.items()}


def _known(row: Mapping[str, Any]) -> Entries:
    return {name: value for name, value in row.items() if value is not None}
