"""Where a person follows a run that a step has started elsewhere."""

from collections import defaultdict

import dagster as dg
from dagster._core.events import EngineEventData

from ml_platform.gateways.jobs.invocation import Context

_links: dict[tuple[str, str], dict[str, dg.UrlMetadataValue]] = defaultdict(dict)


def link(context: Context, name: str, url: str) -> None:
    """Show where the step's work is done: in the log of events now, and in the metadata of what it makes."""
    value = dg.MetadataValue.url(url)
    _links[_step(context)][name] = value
    event = EngineEventData(metadata={name: value})
    dg.DagsterEvent.engine_event(context.get_step_execution_context(), f"{name}: {url}", event)


def links(context: Context) -> dict[str, dg.UrlMetadataValue]:
    """The links of the step, by name, for the metadata of what it makes."""
    return dict(_links[_step(context)])


def _step(context: Context) -> tuple[str, str]:
    return context.run.run_id, context.get_step_execution_context().step.key
