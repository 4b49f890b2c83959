"""The checks of a whole line, real tables and a real registry, are all evaluated from what stands."""

from ml_platform.asset_checks.evaluation import Wanted, check_assets
from ml_platform.asset_checks.products import declared
from ml_platform.components.declared import PRODUCTS
from ml_platform_tests.e2e.line import PRODUCT, Line


def test_each_check_of_the_line_is_evaluated_and_nothing_is_written(line: Line) -> None:
    tables = line.tables()
    products = [declared(line.product, PRODUCTS / PRODUCT)]
    outcomes = check_assets(line.definitions, products, line.gateways, line.settings, Wanted())
    states = {f"{outcome.asset}:{outcome.check}": outcome.state for outcome in outcomes}
    assert set(states) == {key.to_user_string() for key in line.definitions.resolve_asset_graph().asset_check_keys}
    assert not {check: state for check, state in states.items() if state in ("error", "skipped", "failed")}
    evaluated = {outcome.asset: len(outcome.reports) for outcome in outcomes}
    assert evaluated[f"models/{PRODUCT}/candidate"] == 1
    for table in ("drift", "performance", "online_features"):
        assert evaluated[f"monitoring/{PRODUCT}/{table}"] == 6
    assert line.tables() == tables
