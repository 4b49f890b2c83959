"""Each fault in its turn over the whole loop: every call of a flow fails once with it, and all ends as without."""

from typing import Any

import pytest

from ml_platform.gateways.endpoints import EndpointState
from ml_platform_tests.azure.deployment import deployment
from ml_platform_tests.azure.walk import Walk, walked
from ml_platform_tests.emulators.faults import PASSING

pytestmark = pytest.mark.loop


@pytest.mark.parametrize("kind", PASSING)
def test_the_loop_ends_the_same_when_each_of_its_calls_has_failed_once(
    walk: Walk, kind: str, tmp_path_factory: pytest.TempPathFactory
):
    with deployment(tmp_path_factory.mktemp(kind) / "cloud") as cloud:
        disturbed = walked(cloud, fault=kind)
        assert disturbed.submitted() == walk.submitted()
    assert disturbed.fell and all(disturbed.fell.values())
    assert disturbed.contents == walk.contents
    assert [_made(state) for state in (disturbed.first, disturbed.last)] == [_made(walk.first), _made(walk.last)]
    assert [run.assets for run in disturbed.corrected] == [run.assets for run in walk.corrected]
    assert disturbed.secrets_found == []


def _made(state: EndpointState | None) -> Any:
    """What there is of an endpoint, and who answers."""
    assert state
    versions = {each.name: each.model_version for each in state.declared.deployments}
    return state.status, state.settled, versions, state.declared.traffic
