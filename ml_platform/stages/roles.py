"""What the programs are told of a declaration: the roles of a feature table's columns, event times, online features."""

from dbx_jobs.contract import EventTime, Roles, TableInput
from dbx_jobs.online_contract import OnlineTable
from ml_platform.core import keys
from ml_platform.core.product import OnlineSpec, ProductSpec, SourceSpec
from ml_platform.gateways.lake import Lake


def roles(product: ProductSpec) -> Roles:
    """The declared columns of the feature table that are no features."""
    table = product.features
    return Roles(list(table.primary_key), table.event_time, table.prediction_time, product.model.label)


def event_time_of(source: SourceSpec) -> EventTime | None:
    """How a source derives its event time, if it does."""
    return EventTime(**source.event_time.model_dump()) if source.event_time else None


def asked_of(product: ProductSpec, online: OnlineSpec) -> tuple[SourceSpec, EventTime]:
    """The source of which a request is a row; that it has an event time was checked with the declaration."""
    source = product.sources[online.asked_of]
    event_time = event_time_of(source)
    assert event_time
    return source, event_time


def sources_of(product: ProductSpec, lake: Lake) -> dict[str, TableInput]:
    """The sources of the feature table as they stand."""
    return {
        name: TableInput(lake.table(keys.lake(name)), lake.version(keys.lake(name)), source.partitioning == "daily")
        for name, source in product.sources.items()
    }


def online_table(product: ProductSpec, online: OnlineSpec, lake: Lake) -> OnlineTable:
    """How the features of a request are computed."""
    return OnlineTable(
        product=product.name,
        transform=f"python:{product.features.transform}",
        sources=sources_of(product, lake),
        asked_of=online.asked_of,
        request=list(online.request),
        event_time=asked_of(product, online)[1],
        roles=roles(product),
        look_back_days=product.features.look_back_days,
    )
