"""Which deployment gets a request, and which one its mirror."""

from collections import Counter
from itertools import accumulate
from typing import cast

import pytest

from ml_platform.scoring.refusal import Refusal
from ml_platform.scoring.routing import Routes
from ml_platform.scoring.serving import Serving


class Ready:
    """Stands for a loaded deployment: routes look into none."""

    def __init__(self, name: str) -> None:
        self.name = name


def routes(ready: str, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> Routes:
    return Routes({name: cast(Serving, Ready(name)) for name in ready.split()}, traffic, mirror or {})


def name_of(serving: Serving | None) -> str:
    return cast(Ready, serving).name if serving else ""


def answered(given: Routes, count: int) -> list[str]:
    return [name_of(given.pick(None)) for _ in range(count)]


@pytest.mark.parametrize(
    "traffic",
    [
        {"blue": 90, "green": 10},
        {"blue": 1, "green": 99},
        {"blue": 50, "green": 50},
        {"blue": 98, "green": 1, "red": 1},
        {"blue": 34, "green": 33, "red": 33},
        {"blue": 20, "green": 35, "red": 45},
    ],
)
def test_of_any_first_requests_no_minor_deployment_gets_more_than_its_share_nor_much_less(
    traffic: dict[str, int],
) -> None:
    order = answered(routes("blue green red", traffic), 1000)
    largest = max(traffic, key=traffic.__getitem__)
    for name in traffic.keys() - {largest}:
        got = accumulate(each == name for each in order)
        behind = [count * traffic[name] / 100 - so_far for count, so_far in enumerate(got, 1)]
        # Where two are due at once, one of them waits for a turn.
        assert min(behind) >= -1e-9
        assert max(behind) < len(traffic)


def test_two_deployments_share_every_hundred_requests_exactly() -> None:
    given = routes("blue green", {"blue": 93, "green": 7})
    assert [Counter(answered(given, 100)) for _ in range(5)] == [{"blue": 93, "green": 7}] * 5


def test_a_deployment_that_is_not_ready_leaves_its_share_to_the_others_in_their_proportion() -> None:
    given = routes("blue green", {"blue": 60, "green": 20, "red": 20})
    assert Counter(answered(given, 80)) == {"blue": 60, "green": 20}


def test_a_deployment_without_a_share_gets_a_request_only_by_its_name() -> None:
    given = routes("blue green", {"blue": 100})
    assert set(answered(given, 200)) == {"blue"}
    assert name_of(given.pick(b"green")) == "green"


def test_a_request_for_a_deployment_by_its_name_takes_no_turn_of_the_others() -> None:
    given = routes("blue green", {"blue": 90, "green": 10})
    order = []
    for _ in range(100):
        assert name_of(given.pick(b"blue")) == "blue"
        order += answered(given, 1)
    assert Counter(order) == {"blue": 90, "green": 10}


@pytest.mark.parametrize("name", [b"red", b"", b"\xe9"])
def test_a_name_that_no_ready_deployment_has_is_not_found(name: bytes) -> None:
    with pytest.raises(Refusal, match="there is no deployment") as refused:
        routes("blue", {"blue": 50, "red": 50}).pick(name)
    assert refused.value.status == 404


@pytest.mark.parametrize("traffic", [{}, {"blue": 0}, {"red": 100}])
def test_where_no_ready_deployment_has_traffic_nothing_is_found_without_a_name(traffic: dict[str, int]) -> None:
    given = routes("blue", traffic)
    with pytest.raises(Refusal, match="no deployment has traffic") as refused:
        given.pick(None)
    assert refused.value.status == 404
    assert given.main is None


def test_the_largest_share_that_is_ready_stands_for_the_endpoint() -> None:
    assert name_of(routes("blue green", {"blue": 20, "green": 30, "red": 50}).main) == "green"


def mirrored(given: Routes, count: int) -> Counter[tuple[str, str]]:
    """How often each deployment answered, with the one that scored as well."""
    answering = (given.pick(None) for _ in range(count))
    return Counter((name_of(each), name_of(given.shadow(each))) for each in answering)


@pytest.mark.parametrize("percent", [0, 1, 30, 50, 99, 100])
def test_the_mirror_scores_exactly_its_share_and_never_answers(percent: int) -> None:
    seen = mirrored(routes("blue green", {"blue": 100}, {"green": percent}), 200)
    assert +seen == +Counter({("blue", "green"): 2 * percent, ("blue", ""): 200 - 2 * percent})


@pytest.mark.parametrize("mirror", ["blue", "green"])
def test_a_mirror_that_also_answers_scores_its_share_of_what_the_other_one_answers(mirror: str) -> None:
    other = {"blue": "green", "green": "blue"}[mirror]
    seen = mirrored(routes("blue green", {"blue": 50, "green": 50}, {mirror: 50}), 200)
    assert seen == {(mirror, ""): 100, (other, mirror): 50, (other, ""): 50}


def test_a_mirror_that_is_not_ready_is_left_out() -> None:
    assert mirrored(routes("blue", {"blue": 100}, {"green": 100}), 10) == {("blue", ""): 10}
