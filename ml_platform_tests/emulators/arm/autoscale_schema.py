"""What an autoscale setting of Azure Monitor may be, API version 2022-10-01, as its documentation says it.

https://learn.microsoft.com/rest/api/monitor/autoscale-settings/create-or-update
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import isodate
import jsonschema_rs

VERSION = "2022-10-01"
METRICS = {
    "CpuMemoryUtilizationPercentage",
    "CpuUtilizationPercentage",
    "DataCollectionErrorsPerMinute",
    "DataCollectionEventsPerMinute",
    "DeploymentCapacity",
    "DiskUtilization",
    "GpuEnergyJoules",
    "GpuMemoryUtilizationPercentage",
    "GpuUtilizationPercentage",
    "RequestLatency_P50",
    "RequestLatency_P90",
    "RequestLatency_P95",
    "RequestLatency_P99",
    "RequestsPerMinute",
}
"""Of Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments, each sampled once a minute."""
NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments"
GRAIN = timedelta(minutes=1)
SPANS = {
    "timeGrain": (timedelta(minutes=1), timedelta(hours=12)),
    "timeWindow": (timedelta(minutes=5), timedelta(hours=12)),
    "cooldown": (timedelta(minutes=1), timedelta(weeks=1)),
}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _one_of(words: str) -> dict[str, Any]:
    return {"enum": words.split()}


TEXT, FLAG = {"type": "string", "minLength": 1}, {"type": "boolean"}
COUNT = {"type": "string", "pattern": "^[0-9]+$"}
ANYTHING: dict[str, Any] = {"type": "object"}

TRIGGER = _object(
    "metricName metricResourceUri timeGrain statistic timeWindow timeAggregation operator threshold",
    metricName=TEXT,
    metricNamespace=TEXT,
    metricResourceUri=TEXT,
    metricResourceLocation=TEXT,
    timeGrain=TEXT,
    timeWindow=TEXT,
    statistic=_one_of("Average Min Max Sum Count"),
    timeAggregation=_one_of("Average Minimum Maximum Total Count Last"),
    operator=_one_of("Equals NotEquals GreaterThan GreaterThanOrEqual LessThan LessThanOrEqual"),
    threshold={"type": "number"},
    dimensions={"type": "array"},
    dividePerInstance=FLAG,
)
ACTION = _object(
    "direction type cooldown",
    direction=_one_of("None Increase Decrease"),
    type=_one_of("ChangeCount PercentChangeCount ExactCount ServiceAllowedNextValue"),
    value={"type": "string", "pattern": "^[1-9][0-9]*$"},
    cooldown=TEXT,
)
PROFILE = _object(
    "name capacity rules",
    name=TEXT,
    capacity=_object("minimum maximum default", minimum=COUNT, maximum=COUNT, default=COUNT),
    rules={
        "type": "array",
        "maxItems": 10,
        "items": _object("metricTrigger scaleAction", metricTrigger=TRIGGER, scaleAction=ACTION),
    },
    fixedDate=ANYTHING,
    recurrence=ANYTHING,
)
SETTING = _object(
    "location properties",
    location=TEXT,
    tags={
        "type": "object",
        "maxProperties": 15,
        "propertyNames": {"maxLength": 128},
        "additionalProperties": {"type": "string", "maxLength": 256},
    },
    properties=_object(
        "profiles",
        profiles={"type": "array", "minItems": 1, "maxItems": 20, "items": PROFILE},
        notifications={"type": "array"},
        enabled=FLAG,
        predictiveAutoscalePolicy=ANYTHING,
        name=TEXT,
        targetResourceUri=TEXT,
        targetResourceLocation=TEXT,
    ),
)


@cache
def _validator() -> Any:
    return jsonschema_rs.validator_for({"$schema": "https://json-schema.org/draft/2020-12/schema", **SETTING})


def problems(body: Any) -> Iterator[str]:
    """What in the body of a PUT contradicts the documentation."""
    found = [f"{'.'.join(map(str, each.instance_path))}: {each.message}" for each in _validator().iter_errors(body)]
    if found:
        yield from found
        return
    target = body["properties"].get("targetResourceUri", "")
    for profile in body["properties"]["profiles"]:
        yield from _of_profile(profile, target)


def _of_profile(profile: dict[str, Any], target: str) -> Iterator[str]:
    least, given, most = (int(profile["capacity"][each]) for each in ("minimum", "default", "maximum"))
    if not least <= given <= most:
        yield f"capacity: {least} <= {given} <= {most} does not hold of minimum, default, maximum"
    if least < 1:
        yield "capacity: a managed online deployment has one instance at least"
    for rule in profile["rules"]:
        for name, span in {**rule["metricTrigger"], **rule["scaleAction"]}.items():
            if name in SPANS:
                yield from _of_span(name, span)
        yield from _of_trigger(rule["metricTrigger"], target)


def _of_span(name: str, span: str) -> Iterator[str]:
    shortest, longest = SPANS[name]
    try:
        given = isodate.parse_duration(span)
    except isodate.ISO8601Error:
        given = None
    if not isinstance(given, timedelta):
        yield f"{name} is {span!r}, no duration of ISO 8601 in weeks, days and times"
        return
    if not shortest <= given <= longest:
        yield f"{name} is {span}, not between {shortest} and {longest}"


def _of_trigger(trigger: dict[str, Any], target: str) -> Iterator[str]:
    if trigger["metricName"] not in METRICS:
        yield f"metricName is {trigger['metricName']!r}, which online deployments do not have"
    if trigger.get("metricNamespace", NAMESPACE).lower() != NAMESPACE.lower():
        yield f"metricNamespace is {trigger['metricNamespace']!r}, not that of online deployments"
    if not re.fullmatch(re.escape(target), trigger["metricResourceUri"], re.IGNORECASE):
        yield f"metricResourceUri is {trigger['metricResourceUri']!r}, not the target"
    if trigger["timeGrain"] not in ("PT1M", "PT60S"):
        yield f"timeGrain is {trigger['timeGrain']!r}: metrics of online deployments are sampled each minute"
