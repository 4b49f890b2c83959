"""Whatever fails for a moment between training and roll-out: the model, its job and its endpoint are there once."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ml_platform.gateways.endpoints import EndpointState
from ml_platform_tests.azure.deployment import Deployment, deployment, entered
from ml_platform_tests.azure.line import kept_in_the_cloud
from ml_platform_tests.azure.walk import FLOWS, Walk
from ml_platform_tests.e2e.line import PRODUCT

pytestmark = pytest.mark.loop

CALLS = [
    ("PUT", "/jobs/[^/]+$"),
    ("GET", "/jobs/[^/]+$"),
    ("POST", "/mlflow/"),
    ("GET", "/mlflow/"),
    ("PUT", "/onlineEndpoints/[^/]+$"),
    ("PUT", "/deployments/[^/]+$"),
    ("GET", "/onlineEndpoints/"),
]
KINDS = ("throttle", "error", "unavailable", "expired", "drop", "drop_answer", "latency")
TRAINED = FLOWS.index("training_and_roll_out") + 1


@dataclass
class Served:
    """A model that is trained and served."""

    cloud: Deployment
    walk: Walk
    state: EndpointState

    def jobs(self) -> set[str]:
        """The jobs that the workspace has taken."""
        calls = self.cloud.arm.record()["calls"]
        taken = [c for c in calls if c["method"] == "PUT" and c["template"].endswith("/jobs/{name}")]
        return {call["path"].rpartition("/")[2] for call in taken}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models") / "cloud"
    with deployment(folder) as cloud, entered(cloud), kept_in_the_cloud() as kept:
        walk = Walk(cloud, kept)
        walk.run(FLOWS[:TRAINED])
        assert walk.first
        yield Served(cloud, walk, walk.first)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_model_is_trained_and_rolled_out_once_whatever_fails_for_a_moment(
    served: Served, method: str, path: str, kind: str
):
    jobs, line = served.jobs(), served.walk.kept.line
    line.gateways.endpoints.delete(PRODUCT)
    served.cloud.arm.fault(kind, method, path, count=2, seconds=1)
    try:
        served.walk.training_and_roll_out()
        assert not served.cloud.arm.faults_left()
    finally:
        served.cloud.arm.clear_faults()
    assert len(served.jobs() - jobs) == 2  # one that trains and one that compares
    assert served.walk.kept.versions() == ["1"]
    assert served.walk.first == served.state
