"""The champion is served: the real-time endpoint of a product, and the sensor that keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import GateError, RolledBack
from ml_platform.gateways.endpoints import EndpointDeclaration, Endpoints
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.monitors import Monitors
from ml_platform.gateways.registry import Registry
from ml_platform.scoring.state import Autoscale, OnlineDeclaration
from ml_platform.settings import Settings
from ml_platform.stages import azureml_monitor
from ml_platform.stages.attempts import WHOLE, Attempt, contents, record
from ml_platform.stages.conditions import follow
from ml_platform.stages.roles import asked_of
from ml_platform.stages.rollout import Outcome, Rollout
from ml_platform.stages.underway import underway
from ml_platform.stages.upstream import Inputs, Upstream

MOST_RECORDED = 500
"""Recorded requests of the newest day that a new deployment is probed with."""


class RolloutApproval(dg.Config):
    """A person's word on a version whose roll-out waits for it."""

    approve_version: str = ""
    approved_by: str = ""


def build(product: ProductSpec) -> list[dg.AssetsDefinition]:
    """The asset `endpoints/<product>`."""
    inputs = Inputs(product, _reads(product), _applied(product))

    @dg.asset(
        key=dg.AssetKey(keys.endpoint(product.name)),
        deps=inputs.deps,
        description=product.endpoint.description,
        group_name="endpoint",
        kinds={"onnx", "http"},
        owners=product.owners,
        tags={"product": product.name},
        automation_condition=follow(inputs),
        pool=f"endpoint_{product.name}",
    )
    def endpoint(
        context: dg.AssetExecutionContext,
        config: RolloutApproval,
        registry: dg.ResourceParam[Registry],
        endpoints: dg.ResourceParam[Endpoints],
        monitors: dg.ResourceParam[Monitors],
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.MaterializeResult]:
        read = inputs.digest_now(context.instance)
        champion = registry.champion(product.name)
        if champion is None:
            raise GateError(
                f"{product.name} has no champion to serve: materialise models/{product.name}/champion first"
            )
        if config.approve_version:
            _approve(registry, product, champion.version, config)
        rollout = rollout_of(product, endpoints, registry, settings)
        rollout.recorded = lambda: _recorded(context.instance, lake, product)
        rollout.tell = context.log.info
        try:
            outcome = rollout.run(product.name, champion.version)
        except RolledBack as error:
            tell_rolled_back(context.instance, product, registry, str(error))
            raise
        version = outcome.state.serving.model_version if outcome.state.serving else "none"
        yield dg.MaterializeResult(
            metadata=_metadata(outcome, version, champion.version), data_version=dg.DataVersion(version)
        )
        record(context, context.asset_key, WHOLE, Attempt(read, "passed"), {})
        # Last: a monitor that cannot be kept fails the run, and not the roll-out, which is done.
        if told := azureml_monitor.keep(product, outcome.state.serving, monitors, registry, lake):
            context.log.info(told)

    return [endpoint]


def sensor(product: ProductSpec) -> dg.SensorDefinition:
    """Sees to it that the endpoint answers, that no roll-out is left half done and no old deployment for ever."""
    key = dg.AssetKey(keys.endpoint(product.name))

    @dg.sensor(
        name=f"endpoint_{product.name}",
        asset_selection=dg.AssetSelection.assets(key),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Materialises the endpoint when it does not answer, or a roll-out or an old deployment was left.",
        tags={"product": product.name},
    )
    def keep(
        context: dg.SensorEvaluationContext,
        registry: dg.ResourceParam[Registry],
        endpoints: dg.ResourceParam[Endpoints],
        settings: dg.ResourceParam[Settings],
    ) -> dg.SensorResult | dg.SkipReason:
        state = endpoints.state(product.name)
        if state is None:
            return dg.SkipReason("nothing was deployed yet")
        if key in underway(context.instance):
            return dg.SkipReason("a run is at work on it")
        now = datetime.now(UTC)
        why = rollout_of(product, endpoints, registry, settings).left(state)
        if not why:
            return dg.SkipReason(f"it answers with version {state.serving.model_version if state.serving else 'none'}")
        # At most once an hour for the same: what cannot be mended so is not tried at every tick.
        about = sha256(repr((why, state, now.strftime("%Y-%m-%d %H"))).encode()).hexdigest()[:12]
        tags = {"ml_platform/reason": why, "ml_platform/product": product.name}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=about, asset_selection=[key], tags=tags)])

    return keep


def rollout_of(product: ProductSpec, endpoints: Endpoints, registry: Registry, settings: Settings) -> Rollout:
    """The roll-out that the product declares."""
    spec = product.endpoint
    declared = EndpointDeclaration(
        name=product.name,
        deployments=(),
        traffic={},
        primary_key=tuple(product.features.primary_key),
        event_time=product.features.event_time,
        port=spec.port,
        replay_clock=settings.replay_clock,
        workers=spec.workers,
        max_concurrent_requests=spec.max_concurrent_requests,
        max_worker_mib=spec.max_worker_mib,
        online=declared_online(product, settings),
        autoscale=Autoscale(**spec.autoscale.model_dump()) if spec.autoscale else None,
    )
    # An old deployment stays ready until the labels of its last predictions have matured.
    keep = timedelta(days=product.monitors.performance.maturity_days)
    return Rollout(endpoints, registry, declared, spec.rollout, keep)


def _reads(product: ProductSpec) -> list[Upstream]:
    champion = Upstream(keys.champion(product.name), daily=False)
    # Looked up with each request: a change of it is nothing to deploy.
    online = Upstream(keys.online_features(product.name), daily=False, required="none", followed=False)
    return [champion, online] if product.features.online else [champion]


def _applied(product: ProductSpec) -> str:
    """What is declared of an endpoint and of what watches it. Its policy counts with the next roll-out."""
    endpoint = product.endpoint.model_dump_json(exclude={"description", "rollout"})
    asked = product.features.model_dump_json(include={"primary_key", "event_time", "online"})
    watched = product.monitors.model_dump_json() if product.monitors.azureml else ""
    return endpoint + asked + watched


def declared_online(product: ProductSpec, settings: Settings) -> OnlineDeclaration | None:
    """What the endpoint looks up by itself, where the product says so."""
    online = product.features.online
    if online is None:
        return None
    source, event_time = asked_of(product, online)
    types: dict[str, str] = {name: column.type for name, column in source.columns.items()}
    types[event_time.column] = "timestamp"
    return OnlineDeclaration(
        store_uri=settings.online_store_uri,
        product=product.name,
        request={name: types[name] for name in online.request},
        event_time=event_time,
        ttl_seconds=online.ttl_minutes * 60,
        ttl_seconds_of={name: minutes * 60 for name, minutes in online.ttl_minutes_of.items()},
    )


def tell_rolled_back(instance: dg.DagsterInstance, product: ProductSpec, registry: Registry, why: str) -> None:
    """Record that another version is the champion again: what follows it sees the change."""
    champion = registry.champion(product.name)
    version = champion.version if champion else "none"
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            dg.AssetKey(keys.champion(product.name)),
            description=why,
            metadata={"version": version, "rolled_back": why},
            tags={DATA_VERSION_TAG: version},
        )
    )


def _approve(registry: Registry, product: ProductSpec, version: str, config: RolloutApproval) -> None:
    if config.approve_version != version or not config.approved_by:
        raise GateError(
            f"approve_version is {config.approve_version!r} by {config.approved_by!r}: name the champion {version!r} "
            "and who approves its roll-out"
        )
    registry.approve_rollout(product.name, version, config.approved_by)


def _recorded(instance: dg.DagsterInstance, lake: Lake, product: ProductSpec) -> Sequence[Mapping[str, Any]]:
    """Requests of the newest day that was logged; none before the first one was."""
    path = keys.monitoring(product.name, "inference_log")
    days = contents(instance, dg.AssetKey(path))
    return lake.rows(path, max(days), max(days))[:MOST_RECORDED] if days else []


def _metadata(outcome: Outcome, version: str, champion: str) -> dict[str, Any]:
    declared = outcome.state.declared
    metadata: dict[str, Any] = {
        "scoring_uri": dg.MetadataValue.url(outcome.state.scoring_uri),
        "version": version,
        "champion": champion,
        "status": outcome.state.status,
        "rollout": outcome.status,
        "deployments": {each.name: f"version {each.model_version}" for each in declared.deployments},
        "traffic": declared.traffic,
    }
    if outcome.sentences:
        metadata["seen"] = dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in outcome.sentences))
    return metadata
