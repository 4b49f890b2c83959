"""The endpoint in the specification of a model product: how it serves, takes over and is scaled."""

from typing import Literal

from pydantic import Field, model_validator

from ml_platform.core.spec import Spec


class WatchSpec(Spec):
    """A stage of a roll-out: how much of the requests the new deployment gets, and for how long that is watched."""

    percent: int = Field(ge=1, le=50, description="Of the requests.")
    seconds: float = Field(ge=0, le=86_400, description="For which the stage is watched; 0 leaves it out.")


class RolloutSpec(Spec):
    """How a new champion takes over from the old one, and what sends it back."""

    approval: Literal["automatic", "manual"] = Field(
        default="automatic", description="manual: a person says `ml-platform approve` before the canary."
    )
    shadow: WatchSpec = Field(
        default=WatchSpec(percent=50, seconds=30), description="It scores requests that the old one answers."
    )
    canary: WatchSpec = Field(default=WatchSpec(percent=10, seconds=60), description="It answers requests.")
    min_requests: int = Field(default=100, ge=1, description="Of each, before time and predictions are judged.")
    max_failure_rate: float = Field(
        default=0.01, ge=0, le=1, description="Share of its requests that it may fail beyond what the old one fails."
    )
    max_latency_ratio: float = Field(
        default=3, ge=1, description="How many times the old one's processor time (nine of ten requests) it may take."
    )
    max_prediction_shift: float = Field(
        default=0.1, gt=0, le=1, description="How far its mean prediction may be from the old one's."
    )
    min_prediction_spread: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Its predictions' standard deviation, at least, as a share of the old one's.",
    )


class AutoscaleSpec(Spec):
    """How many instances answer, by their load, where a service adds and removes them: Azure, not a laptop's host."""

    min_instances: int = Field(ge=1)
    max_instances: int = Field(ge=1)
    scale_out_cpu_percent: int = Field(default=70, ge=1, le=99, description="Mean CPU utilisation that adds one.")
    scale_in_cpu_percent: int = Field(default=30, ge=1, le=99, description="Mean CPU utilisation that removes one.")
    window_minutes: int = Field(default=5, ge=5, le=720, description="Over which the utilisation is averaged.")
    cooldown_minutes: int = Field(default=10, ge=1, le=10_080, description="Between two changes of their number.")

    @model_validator(mode="after")
    def _steady(self) -> "AutoscaleSpec":
        least, out = self.min_instances, self.scale_out_cpu_percent
        if self.max_instances < least:
            raise ValueError(f"max_instances ({self.max_instances}) is less than min_instances ({least})")
        # Azure Monitor removes no instance whose load would make it add one: such a bound would never be acted on.
        if self.scale_in_cpu_percent > (most := out * least // (least + 1)):
            raise ValueError(
                f"scale_in_cpu_percent ({self.scale_in_cpu_percent}) is too near to scale_out_cpu_percent ({out}): "
                f"{least} of {least + 1} instances would then be above {out}; declare at most {most}"
            )
        return self


class EndpointSpec(Spec):
    """The real-time endpoint that serves the champion."""

    description: str = ""
    port: int = Field(default=0, ge=0, le=65535, description="Port of the local host; 0 picks a free one and keeps it.")
    workers: int = Field(default=2, ge=1, le=64, description="Processes of the local host.")
    max_concurrent_requests: int = Field(
        default=256, ge=1, description="Requests at once, a worker; more are refused with 429, to come later."
    )
    max_worker_mib: int = Field(default=1024, ge=128, description="Memory at which a worker is replaced.")
    autoscale: AutoscaleSpec | None = Field(
        default=None, description="On Azure; absent: ML_PLATFORM_AZUREML_INSTANCES. A laptop keeps its `workers`."
    )
    rollout: RolloutSpec = Field(default_factory=RolloutSpec)
