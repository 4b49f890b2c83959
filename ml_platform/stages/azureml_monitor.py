"""Azure ML's own monitor beside ours: declared for what serves, and its results as asset checks of the endpoint."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dbx_jobs.contract import CheckReport
from ml_platform.core import keys
from ml_platform.core.azureml_monitor import Measured, SignalVerdict, Watched, bounds, judge
from ml_platform.core.product import ProductSpec
from ml_platform.core.product_monitors import AzureMLMonitorSpec, SignalName
from ml_platform.errors import RegistryError
from ml_platform.gateways.endpoints import Deployment, Endpoints
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.monitors import Monitors, Reference, Watch
from ml_platform.gateways.registry import Registry
from ml_platform.scoring.encoding import read_signature

LEARNT_FROM = ("features_uri", "features_version", "window_start", "fitted_until")
"""The tags of a version that the training writes."""

SHOWN = 50
"""Figures in the metadata of a check, worst first."""


def check_name(signal: SignalName) -> str:
    """The asset check of a signal."""
    return f"azureml_{signal}"


def build(product: ProductSpec) -> list[dg.AssetChecksDefinition]:
    """A check of `endpoints/<product>` for each declared signal; none where nothing is declared."""
    declared = product.monitors.azureml
    if declared is None:
        return []
    key = dg.AssetKey(keys.endpoint(product.name))
    specs = [
        dg.AssetCheckSpec(
            check_name(signal),
            asset=key,
            description=f"What Azure ML's own monitor measured as {signal} is within its bounds. A run that is "
            "missing, failed or overdue does not pass.",
        )
        for signal in declared.signals
    ]

    # Checks that need not be told: where no workspace is, nothing is said of them.
    @dg.multi_asset_check(name=f"azureml_monitor_{product.name}", specs=specs, can_subset=True)
    def monitor(
        context: dg.AssetCheckExecutionContext,
        monitors: dg.ResourceParam[Monitors],
        endpoints: dg.ResourceParam[Endpoints],
    ) -> Iterator[dg.AssetCheckResult]:
        if monitors.absent:
            context.log.info(monitors.absent)
            return
        watched = monitors.read(product.name)
        selected = {each.name for each in context.selected_asset_check_keys}
        for signal, verdict in verdicts(declared, product.name, watched, endpoints).items():
            if check_name(signal) in selected:
                yield dg.AssetCheckResult(
                    asset_key=key,
                    check_name=check_name(signal),
                    passed=verdict.passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=str(verdict),
                    metadata=_metadata(signal, watched, verdict),
                )

    return [monitor]


def schedules(product: ProductSpec) -> list[dg.ScheduleDefinition]:
    """Reads the results each day, also where there should be some and are not."""
    declared = product.monitors.azureml
    if declared is None:
        return []
    key = dg.AssetKey(keys.endpoint(product.name))
    checks = dg.AssetSelection.checks(*(dg.AssetCheckKey(key, check_name(signal)) for signal in declared.signals))

    @dg.schedule(
        name=f"azureml_monitor_{product.name}",
        cron_schedule=declared.read,
        execution_timezone="UTC",
        target=checks,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads what Azure ML's own monitor has found into the checks of the endpoint.",
        tags={"product": product.name},
    )
    def read(monitors: dg.ResourceParam[Monitors]) -> dg.RunRequest | dg.SkipReason:
        tags = {"ml_platform/product": product.name, "ml_platform/reason": "Azure ML's monitor is due"}
        return dg.SkipReason(monitors.absent) if monitors.absent else dg.RunRequest(tags=tags)

    return [read]


def keep(product: ProductSpec, serving: Deployment | None, monitors: Monitors, registry: Registry, lake: Lake) -> str:
    """Let the monitor watch the deployment that serves, or nothing where none is declared; what to tell of it."""
    declared = product.monitors.azureml
    if declared is None or serving is None:
        # Each time, there or not: a record of what is there could be wrong, and one that is left costs Spark each day.
        monitors.remove(product.name)
        return ""
    if monitors.absent:
        return monitors.absent
    page = monitors.watch(_watch(product, declared, serving, registry, lake))
    return f"Azure ML's own monitor watches version {serving.model_version}: {page}"


def verdicts(
    declared: AzureMLMonitorSpec, endpoint: str, watched: Watched, endpoints: Endpoints
) -> dict[SignalName, SignalVerdict]:
    """What is to be said of each declared signal now."""
    state, now = endpoints.state(endpoint), datetime.now(UTC)
    version = state.serving.model_version if state and state.serving else ""
    return {signal: judge(signal, watched, version, declared.overdue_hours, now) for signal in declared.signals}


def reports(declared: AzureMLMonitorSpec, endpoint: str, watched: Watched, endpoints: Endpoints) -> list[CheckReport]:
    """The same outside Dagster."""
    return [
        CheckReport(check_name(signal), verdict.passed, "WARN", None, str(verdict))
        for signal, verdict in verdicts(declared, endpoint, watched, endpoints).items()
    ]


def _watch(
    product: ProductSpec, declared: AzureMLMonitorSpec, serving: Deployment, registry: Registry, lake: Lake
) -> Watch:
    tags = registry.get(serving.model_name, serving.model_version).tags
    lacking = [each for each in LEARNT_FROM if each not in tags]
    if lacking:
        raise RegistryError(
            f"version {serving.model_version} of {serving.model_name} has no tags {lacking}, which say what it has "
            "learnt from: Azure ML's monitor has nothing to compare with. Train it anew"
        )
    signature = read_signature(registry.serving_directory(serving.model_name, serving.model_version))
    return Watch(
        endpoint=product.name,
        deployment=serving.name,
        model_version=serving.model_version,
        features=signature.names,
        output=signature.output,
        reference=Reference(
            table=tags["features_uri"],
            version=int(tags["features_version"]),
            first=tags["window_start"],
            last=tags["fitted_until"],
            label=product.model.label,
        ),
        truth=lake.table(keys.monitoring(product.name, "ground_truth")),
        bounds=bounds(product),
        days=product.monitors.drift.window_days,
        runs=declared.runs,
        machine=declared.machine,
    )


def _metadata(signal: SignalName, watched: Watched, verdict: SignalVerdict) -> dict[str, Any]:
    found: dict[str, Any] = {
        "signal": signal,
        "state": verdict.verdict,
        "monitor": dg.MetadataValue.url(watched.page),
    }
    if watched.run:
        found |= {
            "run": dg.MetadataValue.url(watched.run.page),
            "run_began": dg.MetadataValue.timestamp(watched.run.began),
            "run_state": watched.run.state,
        }
    if verdict.figures:
        found["figures"] = dg.MetadataValue.table([_row(each) for each in verdict.figures[:SHOWN]])
    return found


def _row(each: Measured) -> dg.TableRecord:
    row = {"metric": each.metric, "feature": each.feature, "threshold": each.threshold, "beyond": each.beyond}
    # Dagster's tables have no place for what is no number.
    return dg.TableRecord({**row, "value": each.value if each.known else "none"})
