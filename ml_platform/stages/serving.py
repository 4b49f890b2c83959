"""The champion is served: the real-time endpoint of a product."""

from collections.abc import Iterator

import dagster as dg

from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.errors import GateError
from ml_platform.gateways.endpoints import Deployment, EndpointDeclaration, Endpoints
from ml_platform.gateways.registry import Registry
from ml_platform.settings import Settings
from ml_platform.stages.attempts import WHOLE, Attempt, record
from ml_platform.stages.conditions import follow
from ml_platform.stages.upstream import Inputs, Upstream


def build(product: ProductSpec) -> list[dg.AssetsDefinition]:
    """The asset `endpoints/<product>`."""
    inputs = Inputs(product, [Upstream(keys.champion(product.name), daily=False)])

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
        registry: dg.ResourceParam[Registry],
        endpoints: dg.ResourceParam[Endpoints],
        settings: dg.ResourceParam[Settings],
    ) -> Iterator[dg.MaterializeResult]:
        read = inputs.digest_now(context.instance)
        champion = registry.champion(product.name)
        if champion is None:
            raise GateError(
                f"{product.name} has no champion to serve: materialise models/{product.name}/champion first"
            )
        state = endpoints.deploy(
            EndpointDeclaration(
                name=product.name,
                deployments=(
                    Deployment(
                        name="blue",
                        model_name=product.name,
                        model_version=champion.version,
                        serving_dir=str(registry.serving_directory(product.name, champion.version)),
                    ),
                ),
                traffic={"blue": 100},
                primary_key=tuple(product.features.primary_key),
                event_time=product.features.event_time,
                port=product.endpoint.port,
                replay_clock=settings.replay_clock,
            )
        )
        yield dg.MaterializeResult(
            metadata={
                "scoring_uri": dg.MetadataValue.url(state.scoring_uri),
                "version": champion.version,
                "status": state.status,
            },
            data_version=dg.DataVersion(champion.version),
        )
        record(context, context.asset_key, WHOLE, Attempt(read, "passed"), {})

    return [endpoint]
