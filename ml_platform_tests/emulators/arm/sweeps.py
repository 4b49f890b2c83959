"""What a sweep job does: it draws settings from its space, runs a trial for each, and stops the poor ones early.

Expressions: ["choice", [[...]]], ["uniform", [low, high]], ["quniform", [low, high, q]] and their logarithmic forms,
whose bounds are natural logarithms. Bandit: a trial whose metric is outside the slack of the best one at the same step
is stopped (https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters).
"""

import asyncio
import math
import random
import re
from typing import Any

from ml_platform_tests.emulators.arm.answers import invalid
from ml_platform_tests.emulators.arm.state import Arm, Resource

POLL_SECONDS = 0.3
SEARCH_SPACE = re.compile(r"\$\{\{search_space\.(\w+)\}\}")


def check_sweep(given: dict[str, Any]) -> None:
    """Refuse what the service would: unknown expressions, wrong bounds, names that the command does not have."""
    for name, expression in given["searchSpace"].items():
        draw(expression, random.Random(0), name)
    used = set(SEARCH_SPACE.findall(given["trial"]["command"]))
    if used != set(given["searchSpace"]):
        raise invalid(f"the command uses {sorted(used)}, the search space has {sorted(given['searchSpace'])}")
    policy, sampling = given.get("earlyTermination"), given["samplingAlgorithm"]["samplingAlgorithmType"]
    if sampling == "Bayesian" and policy:
        raise invalid("Bayesian sampling does not support early termination")


def draw(expression: list[Any], random_: random.Random, name: str = "") -> Any:
    """A value of an expression."""
    kind, bounds = expression
    if kind == "choice":
        return random_.choice(bounds[0])
    if kind not in ("uniform", "loguniform", "quniform", "qloguniform") or not bounds[0] < bounds[1]:
        raise invalid(f"searchSpace.{name}: {expression} is no expression of the service")
    number = random_.uniform(bounds[0], bounds[1])
    number = math.exp(number) if "log" in kind else number
    return round(number / bounds[2]) * bounds[2] if kind.startswith("q") else number


def outside(policy: dict[str, Any], value: float, best: float) -> bool:
    """Whether Bandit stops a trial: both values are better the greater they are."""
    if policy.get("slackAmount"):
        return value < best - policy["slackAmount"]
    slack = 1 + (policy.get("slackFactor") or 0.0)
    return value < (best / slack if best > 0 else best * slack)


class Trials:
    """The trials of one sweep: child jobs that the caller's `run` executes."""

    def __init__(self, arm: Arm, sweep: Resource, begin: Any, cancel: Any) -> None:
        self.arm, self.sweep, self._begin, self._cancel = arm, sweep, begin, cancel
        self.jobs: list[Resource] = []

    async def run(self) -> str:
        """Run them all; the state of the sweep."""
        given, limits = self.sweep.properties, self.sweep.properties.get("limits") or {}
        random_ = random.Random(given["samplingAlgorithm"].get("seed"))
        total, at_once = limits.get("maxTotalTrials") or 1, limits.get("maxConcurrentTrials") or 1
        drawn = [{name: draw(e, random_) for name, e in given["searchSpace"].items()} for _ in range(total)]
        try:
            while drawn or self._running():
                while drawn and len(self._running()) < at_once:
                    await self._start(drawn.pop(0))
                await asyncio.sleep(POLL_SECONDS)
                await self._stop_poor_ones()
        finally:
            await asyncio.gather(*(self._cancel(self.arm, job) for job in self._running()))
        return await self._end()

    def _running(self) -> list[Resource]:
        return [job for job in self.jobs if not job.hidden["task"].done()]

    async def _start(self, values: dict[str, Any]) -> None:
        name, given = f"{self.sweep.names[0]}_{len(self.jobs)}", self.sweep.properties
        command = SEARCH_SPACE.sub(lambda match: str(values[match[1]]), given["trial"]["command"])
        kept = ("computeId", "experimentName", "identity", "services", "description", "isArchived")
        properties = {key: given[key] for key in kept if key in given} | given["trial"] | {"command": command}
        limits = {"jobLimitsType": "Command", "timeout": (given.get("limits") or {}).get("trialTimeout")}
        properties |= {"jobType": "Command", "displayName": name, "tags": {}, "properties": {}, "limits": limits}
        job = Resource("jobs", (name,), properties | {"status": "NotStarted"}, hidden={"given": properties})
        job.hidden["parent"] = self.sweep.names[0]
        self.jobs.append(self.arm.store.put(job))
        await self._begin(self.arm, job)

    async def _stop_poor_ones(self) -> None:
        policy = self.sweep.properties.get("earlyTermination")
        if not policy or policy["policyType"] != "Bandit":
            return
        told = {job.names[0]: await self._history(job) for job in self.jobs}
        best: dict[int, float] = {}
        for history in told.values():
            for step, value in history.items():
                best[step] = max(best.get(step, -math.inf), self._sign() * value)
        for job in self._running():
            history = told[job.names[0]]
            step = max(history, default=-1)
            if step >= policy.get("delayEvaluation", 0) and outside(policy, self._sign() * history[step], best[step]):
                await self._cancel(self.arm, job)

    def _sign(self) -> int:
        return 1 if self.sweep.properties["objective"]["goal"].lower() == "maximize" else -1

    async def _history(self, job: Resource) -> dict[int, float]:
        """The primary metric by step."""
        if "experiment" not in job.hidden:
            return {}
        query = f"run_id={job.names[0]}&metric_key={self.sweep.properties['objective']['primaryMetric']}"
        answer = await self.arm.mlflow.call("GET", "metrics/get-history", query)
        metrics = answer.json().get("metrics", []) if answer.is_success else []
        return {int(metric.get("step", 0)): float(metric["value"]) for metric in metrics}

    async def _end(self) -> str:
        """The best child is written down; a sweep without one has failed."""
        finished = [job for job in self.jobs if job.properties["status"] == "Completed"]
        histories = {job.names[0]: await self._history(job) for job in finished}
        values = {name: self._sign() * told[max(told)] for name, told in histories.items() if told}
        if not values:
            return "Failed"
        self.sweep.properties["properties"]["best_child_run_id"] = max(values, key=lambda name: values[name])
        return "Completed"
