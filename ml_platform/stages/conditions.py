"""When Dagster makes an asset again: its inputs changed, are there, passed their checks, and nothing is under way.

Level-triggered: a condition compares what stands now with what the last attempt read, so that a tick that was missed,
killed or evaluated without its cursor loses nothing, and inputs that changed back ask for nothing.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import reduce
from itertools import pairwise
from operator import and_
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.asset_graph_view.entity_subset import EntitySubset

from ml_platform.core.product import ProductSpec
from ml_platform.stages.attempts import WHOLE, Records
from ml_platform.stages.upstream import Inputs, Look

Wanted = Callable[[Records], Mapping[str, str]]
"""By partition that may be made: the digest of its inputs as they stand now."""


_LOOKS: WeakKeyDictionary[AssetGraphView, Records] = WeakKeyDictionary()
"""By tick: Dagster makes one view of its graph for each."""


class InputsChanged(dg.AutomationCondition[dg.AssetKey]):
    """The inputs differ from what the last attempt read, and were not asked for in this state before.

    The second half keeps a program that fails from being started at every tick; what failed is tried again by the
    nightly backfill, or once its inputs change. Up to `bridge` days that lie between two such days are made with them.
    """

    def __init__(self, wanted: Wanted, bridge: int = 0) -> None:
        self._wanted, self._bridge = wanted, bridge

    @property
    def name(self) -> str:
        """What the UI shows."""
        return "inputs_changed"

    @property
    def description(self) -> str:
        """What the UI explains."""
        return "The content of what it reads differs from what its last attempt read"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """The partitions that are stale. The cursor keeps which inputs were asked for, by partition."""
        records = _records(context)
        wanted = self._wanted(records)
        stale = stale_partitions(records, context.key, wanted)
        offered, asked = json.loads(context.cursor) if context.cursor else ({}, {})
        requested = context.get_previous_requested_subset(context.key)
        asked |= {p: offered[p] for p in _partitions(requested) if p in offered}
        asked = {p: digest for p, digest in asked.items() if stale.get(p) == digest}
        new = {p for p in stale if p not in asked}
        true = _subset(context, new | days_bridged(new, self._bridge) & set(wanted))
        return dg.AutomationResult(context, true, cursor=json.dumps([stale, asked]))


class InputsHold(dg.AutomationCondition[dg.AssetKey]):
    """A look at the inputs finds nothing wrong: no required partition missing, or none that did not pass."""

    def __init__(self, inputs: Inputs, name: str, description: str, wrong: Callable[[Look, str], Iterable]) -> None:
        self._inputs, self._name, self._description, self._wrong = inputs, name, description, wrong

    @property
    def name(self) -> str:
        """What the UI shows."""
        return self._name

    @property
    def description(self) -> str:
        """What the UI explains."""
        return self._description

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """The candidates with nothing wrong."""
        candidates = _partitions(context.candidate_subset)
        if not candidates:
            return dg.AutomationResult(context, context.get_empty_subset())
        look = self._inputs.look(_records(context))
        return dg.AutomationResult(context, _subset(context, {p for p in candidates if not list(self._wrong(look, p))}))


class NothingAsked(dg.AutomationCondition[dg.AssetKey]):
    """Nothing that it is made from, near or far, is asked for at this tick: it is not made just before they change.

    Dagster's `will_be_requested` is false of what cannot be made in the same run, as a table of other partitions.
    """

    @property
    def name(self) -> str:
        """What the UI shows."""
        return "nothing_asked_upstream"

    @property
    def description(self) -> str:
        """What the UI explains."""
        return "Nothing upstream of it is asked for at this tick"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """All candidates or none."""
        above = context.asset_graph.get_ancestor_asset_keys(context.key)
        asked = any(not subset.is_empty for key, subset in context.request_subsets_by_key.items() if key in above)
        return dg.AutomationResult(context, context.get_empty_subset() if asked else context.candidate_subset)


def inputs_present(inputs: Inputs) -> InputsHold:
    """Every partition that is required was materialised."""
    return InputsHold(inputs, "inputs_present", "Everything that it must read was materialised", Look.missing_for)


def inputs_passed(inputs: Inputs) -> InputsHold:
    """No partition that is read failed an ERROR check or was refused: the gate that holds in every later tick."""
    return InputsHold(
        inputs, "inputs_passed", "Nothing that it reads failed an ERROR check or was refused", Look.broken_for
    )


def follow(inputs: Inputs, bridge: int = 0) -> dg.AutomationCondition[dg.AssetKey]:
    """Make each partition again when the content of what it reads changed, once all of that is there and passed.

    With `bridge`, so many days between two of them are made as well: one program instead of two.
    """
    guards: list[dg.AutomationCondition] = [
        InputsChanged(lambda records: stale_candidates(inputs, records), bridge),
        inputs_present(inputs),
        inputs_passed(inputs),
        ~dg.AutomationCondition.in_progress(),
        ~dg.AutomationCondition.any_deps_in_progress(),
    ]
    return reduce(and_, guards)


def days_bridged(days: set[str], bridge: int) -> set[str]:
    """The days that lie between two of `days`, where these are at most `bridge`."""
    if not bridge:
        return set()
    known = sorted(map(date.fromisoformat, days))
    gaps = [(one, (other - one).days - 1) for one, other in pairwise(known)]
    return {(before + timedelta(days=n + 1)).isoformat() for before, gap in gaps if gap <= bridge for n in range(gap)}


def stale_candidates(inputs: Inputs, records: Records) -> dict[str, str]:
    """The digest of what each day reads now, for the days that may be computed ("" for a table without days)."""
    look = inputs.look(records)
    return look.digests(look.days() if any(u.daily for u in inputs.upstream) else [WHOLE])


def stale_partitions(records: Records, key: dg.AssetKey, wanted: Mapping[str, str]) -> dict[str, str]:
    """Those of `wanted` whose last attempt read something else, with the digest of what stands now."""
    last = records.attempts(key, daily=set(wanted) != {WHOLE})
    return {p: digest for p, digest in wanted.items() if p not in last or last[p].inputs != digest}


def sensor(product: ProductSpec) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of the product's assets."""
    return dg.AutomationConditionSensorDefinition(
        f"conditions_{product.name}",
        target=dg.AssetSelection.tag("product", product.name),
        use_user_code_server=True,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        run_tags={"ml_platform/reason": "what it reads changed", "ml_platform/product": product.name},
    )


def _records(context: dg.AutomationContext) -> Records:
    """One look for all conditions of a tick."""
    view = context.asset_graph_view
    if view not in _LOOKS:
        _LOOKS[view] = Records(view.instance)
    return _LOOKS[view]


def _partitions(subset: EntitySubset | None) -> set[str]:
    if subset is None or subset.is_empty:
        return set()
    return set(subset.expensively_compute_partition_keys()) if subset.is_partitioned else {WHOLE}


def _subset(context: dg.AutomationContext[dg.AssetKey], partitions: set[str]) -> EntitySubset[dg.AssetKey]:
    view = context.asset_graph_view
    definition = context.partitions_def
    if definition is None:
        full = view.get_full_subset(key=context.key)
        found = full if partitions else view.get_empty_subset(key=context.key)
    else:
        existing = {partition for partition in partitions if definition.has_partition_key(partition)}
        found = view.get_subset_from_partition_keys(context.key, definition, existing)
    return context.candidate_subset.compute_intersection(found)
