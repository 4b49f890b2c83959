"""A place without monitors of its own: a laptop, where ours watch alone."""

from ml_platform.core.azureml_monitor import Watched
from ml_platform.errors import MonitorError
from ml_platform.gateways.monitors.protocol import Watch

ABSENT = "there is no Azure ML workspace here, so its monitor does not watch: set ML_PLATFORM_AZUREML_WORKSPACE"


class NoMonitors:
    """Declarations are accepted, nothing is watched, and there is nothing to read."""

    absent = ABSENT

    def watch(self, wanted: Watch) -> str:
        """See Monitors.watch."""
        raise MonitorError(f"{wanted.endpoint}: {ABSENT}")

    def remove(self, endpoint: str) -> None:
        """See Monitors.remove: nothing watches anyway."""

    def read(self, endpoint: str) -> Watched:
        """See Monitors.read."""
        raise MonitorError(f"{endpoint}: {ABSENT}")
