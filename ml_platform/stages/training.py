"""The feature table becomes a candidate, the gate judges it, and what passes becomes the champion."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg

from dbx_jobs.contract import Days, from_dict
from ml_platform.core import keys
from ml_platform.core.gate import Decision, GatePolicy, decide
from ml_platform.core.product import ProductSpec
from ml_platform.errors import GateError
from ml_platform.gateways.jobs import Jobs, Program, links
from ml_platform.gateways.lake import Lake
from ml_platform.gateways.registry import Registry
from ml_platform.settings import Settings
from ml_platform.stages.attempts import WHOLE, Attempt, contents, record
from ml_platform.stages.conditions import follow
from ml_platform.stages.model_metadata import candidate_metadata, decision_metadata
from ml_platform.stages.partitions import day_keys
from ml_platform.stages.roles import roles
from ml_platform.stages.upstream import Inputs, Upstream
from ml_platform.training.contract import (
    CompareReport,
    CompareRequest,
    Dimension,
    FeatureTable,
    Metric,
    Tracking,
    TrainingReport,
    TrainingRequest,
)

GATE = "gate"


class Training(dg.Config):
    """Which days to learn from, and how."""

    end: str = ""
    """Last day, YYYY-MM-DD; empty: the last day whose labels have matured."""
    search: bool = True
    """Search the declared space of parameters; else the champion's are kept, if estimator and space are the same."""


class Approval(dg.Config):
    """A person's word on a version about which the gate asks."""

    approve_version: str = ""
    approved_by: str = ""


def build(product: ProductSpec) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The assets `models/<product>/candidate` and `.../champion`, and the gate between them."""
    return [_candidate(product), _champion(product)], [_gate(product)]


def _candidate(product: ProductSpec) -> dg.AssetsDefinition:
    features = keys.features(product.name)

    @dg.asset(
        key=dg.AssetKey(keys.candidate(product.name)),
        deps=[dg.AssetKey(features)],
        description=product.model.description,
        group_name="model",
        kinds={"mlflow", product.model.estimator.split(".")[0]},
        owners=product.owners,
        tags={"product": product.name},
        pool=f"training_{product.name}",
    )
    def candidate(
        context: dg.AssetExecutionContext,
        config: Training,
        jobs: dg.ResourceParam[Jobs],
        lake: dg.ResourceParam[Lake],
        settings: dg.ResourceParam[Settings],
        registry: dg.ResourceParam[Registry],
    ) -> dg.MaterializeResult:
        window = _window(context.instance, product, config.end)
        days = day_keys(product, date.fromisoformat(window.start), date.fromisoformat(window.end))
        Inputs(product, [Upstream(features)]).require(context.instance, days)
        request = _training_request(product, lake, settings, window)
        if not config.search:
            request = _with_champions_parameters(request, registry)
        report = from_dict(TrainingReport, jobs.run(context, Program.TRAIN, request))
        return dg.MaterializeResult(
            metadata=candidate_metadata(report, settings.run_page(report.experiment_id, report.run_id))
            | links(context),
            data_version=dg.DataVersion(report.fingerprint),
        )

    return candidate


def _gate(product: ProductSpec) -> dg.AssetChecksDefinition:
    candidate = dg.AssetKey(keys.candidate(product.name))

    @dg.asset_check(
        asset=candidate,
        name=GATE,
        blocking=True,
        description="Challenger against champion on days that neither was fitted on; what cannot be computed refuses.",
    )
    def gate(
        context: dg.AssetCheckExecutionContext,
        jobs: dg.ResourceParam[Jobs],
        settings: dg.ResourceParam[Settings],
        registry: dg.ResourceParam[Registry],
    ) -> dg.AssetCheckResult:
        version = candidate_version(context.instance, product)
        champion = registry.champion(product.name)
        request = CompareRequest(
            roles=roles(product),
            metric=Metric(product.model.metric.name, product.model.metric.direction),
            tracking=_tracking(product, settings),
            challenger_version=version,
            champion_version=champion.version if champion else None,
            slices=list(product.model.slices),
            min_slice_rows=product.model.gate.min_slice_rows,
            seed=product.model.seed,
            threads=settings.training_threads,
        )
        report = from_dict(CompareReport, jobs.run(context, Program.COMPARE, request))
        decision = decide(report.evidence, gate_policy(product))
        registry.record_gate(product.name, version, decision)
        return dg.AssetCheckResult(
            passed=decision.accepted,
            severity=dg.AssetCheckSeverity.ERROR,
            description=_sentence(version, decision),
            metadata=decision_metadata(decision, report.plots) | links(context),
        )

    return gate


def _champion(product: ProductSpec) -> dg.AssetsDefinition:
    inputs = Inputs(product, [Upstream(keys.candidate(product.name), daily=False)])

    @dg.asset(
        key=dg.AssetKey(keys.champion(product.name)),
        deps=inputs.deps,
        description="The version that serves: the newest candidate that the gate let through.",
        group_name="model",
        kinds={"mlflow"},
        owners=product.owners,
        tags={"product": product.name},
        automation_condition=follow(inputs) & dg.AutomationCondition.all_deps_blocking_checks_passed(),
    )
    def champion(
        context: dg.AssetExecutionContext,
        config: Approval,
        settings: dg.ResourceParam[Settings],
        registry: dg.ResourceParam[Registry],
    ) -> Iterator[dg.MaterializeResult]:
        read = inputs.digest_now(context.instance)
        version = candidate_version(context.instance, product)
        if config.approve_version:
            _approve(registry, product, version, config)
        before = registry.champion(product.name)
        # Asks the registry, not this run: a version that the gate refused in any run is refused here.
        registry.promote(product.name, version)
        yield dg.MaterializeResult(
            metadata={
                "version": version,
                "previous_version": before.version if before else "none",
                "model": dg.MetadataValue.url(settings.model_page(product.name, version)),
            },
            data_version=dg.DataVersion(version),
        )
        record(context, context.asset_key, WHOLE, Attempt(read, "passed"), {})

    return champion


def candidate_version(instance: dg.DagsterInstance, product: ProductSpec) -> str:
    """The model version that the latest materialisation of the candidate registered; raises GateError without one."""
    key = dg.AssetKey(keys.candidate(product.name))
    event = instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        raise GateError(f"{key.to_user_string()} was never materialised: materialise it first")
    return str(event.asset_materialization.metadata["version"].value)


def gate_policy(product: ProductSpec) -> GatePolicy:
    """The declared gate with the declared metric."""
    return GatePolicy(
        metric=product.model.metric.name, direction=product.model.metric.direction, **product.model.gate.model_dump()
    )


def _approve(registry: Registry, product: ProductSpec, version: str, config: Approval) -> None:
    if config.approve_version != version or not config.approved_by:
        raise GateError(
            f"approve_version is {config.approve_version!r} by {config.approved_by!r}: name the candidate {version!r} "
            "and who approves it"
        )
    registry.approve(product.name, version, config.approved_by)


def _window(instance: dg.DagsterInstance, product: ProductSpec, end: str) -> Days:
    last = date.fromisoformat(end) if end else _last_mature_day(instance, product)
    length = product.model.window_days
    first = last - timedelta(days=length - 1) if length else product.start
    return Days(max(first, product.start).isoformat(), last.isoformat())


def _last_mature_day(instance: dg.DagsterInstance, product: ProductSpec) -> date:
    key = dg.AssetKey(keys.features(product.name))
    done = contents(instance, key)
    if not done:
        raise GateError(f"{key.to_user_string()} has no partition: materialise some days first")
    return date.fromisoformat(max(done)) - timedelta(days=product.monitors.performance.maturity_days)


def _training_request(product: ProductSpec, lake: Lake, settings: Settings, window: Days) -> TrainingRequest:
    model, table = product.model, keys.features(product.name)
    return TrainingRequest(
        product=product.name,
        features=FeatureTable(lake.table(table), lake.version(table), roles(product)),
        window=window,
        validation_days=model.split.validation_days,
        holdout_days=model.split.holdout_days,
        metric=Metric(model.metric.name, model.metric.direction),
        tracking=_tracking(product, settings),
        estimator=model.estimator,
        parameters=dict(model.parameters),
        search_space={name: Dimension(**d.model_dump()) for name, d in model.search_space.items()},
        trials=model.trials,
        search=model.search,
        seed=model.seed,
        threads=settings.training_threads,
        slices=list(model.slices),
        code_revision=settings.revision,
    )


def _with_champions_parameters(request: TrainingRequest, registry: Registry) -> TrainingRequest:
    champion = registry.champion(request.product)
    if champion is None:
        return request
    estimator, parameters = registry.recipe(request.product, champion.version)
    if estimator != request.estimator or not request.search_space.keys() <= parameters.keys():
        return request
    # What is declared as fixed stays so, also where it was changed since.
    found = {name: parameters[name] for name in request.search_space}
    return replace(request, parameters={**request.parameters, **found}, trials=0)


def _tracking(product: ProductSpec, settings: Settings) -> Tracking:
    return Tracking(
        uri=settings.mlflow_tracking_uri,
        experiment=product.name,
        model=product.name,
        artifact_root=settings.mlflow_artifact_uri or None,
    )


def _sentence(version: str, decision: Decision) -> str:
    verb = {"promote": "may be promoted", "refuse": "is refused", "ask": "needs a person's approval"}[decision.verdict]
    return f"Version {version} {verb}: {'; '.join(decision.reasons)}"
