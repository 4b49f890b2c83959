"""What a person sees and does in Dagster's UI."""

import time
from collections.abc import Callable

import dagster as dg
import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from ml_platform.core import keys
from ml_platform_tests.browser.conftest import SECONDS, Screenshot
from ml_platform_tests.e2e.line import PRODUCT, Line

WEATHER = keys.lake("weather")
ONE_DAY, MORE_DAYS = "2013-02-08", ("2013-02-09", "2013-02-10")
RUN_SECONDS = 240

GROUPS = {
    "lake": ["airlines", "airports", "flights", "planes", "weather"],
    "features": ["flight_delays", "flight_del…_online"],  # as a box shows a long name
    "model": ["candidate", "champion"],
    "endpoint": ["flight_delays"],
    "monitoring": ["drift", "ground_truth", "inference_log", "online_features", "performance"],
}
ASSETS = [asset for assets in GROUPS.values() for asset in assets]
GREEN, GREY = "rgb(46, 204, 129)", "rgb(103, 116, 138)"
"""Frames of the lineage: everything is materialised and its checks passed; some of the days are materialised."""


@pytest.fixture(autouse=True)
def _expectations_wait() -> None:
    expect.set_options(timeout=SECONDS * 1000)


def test_the_lineage_shows_every_asset_in_its_group(page: Page, screenshot: Screenshot) -> None:
    page.set_viewport_size({"width": 2560, "height": 1700})
    page.goto("/asset-groups")
    graph = page.locator("svg", has=page.locator("foreignObject"))
    for group in GROUPS:
        expect(graph.get_by_text(group, exact=True)).to_be_visible()
    graph.click(button="right", position={"x": 20, "y": 20})
    page.get_by_role("menuitem", name="Expand all groups").click()
    for asset in set(ASSETS):
        expect(graph.get_by_text(asset, exact=True)).to_have_count(ASSETS.count(asset))
    page.mouse.move(1, 1)  # what the pointer is over looks chosen
    colours = dict.fromkeys(("airlines", "candidate", "champion"), GREEN)
    for asset, colour in (colours | dict.fromkeys(("flights", "weather", "ground_truth"), GREY)).items():
        expect(graph.get_by_text(asset, exact=True).locator("..")).to_have_css("border-color", colour)
    screenshot("lineage", around(graph.locator("foreignObject")))


def test_the_candidate_shows_its_card_and_its_plots(page: Page, screenshot: Screenshot) -> None:
    page.goto("/assets/models/flight_delays/candidate")
    card = opened(page, "card")
    expect(card.get_by_role("heading", name=PRODUCT)).to_be_visible()
    expect(card.get_by_role("heading", name="Limits")).to_be_visible()
    card.get_by_role("button", name="Close").click()
    page.set_viewport_size({"width": 1600, "height": 1080})
    pictures = opened(page, "plots").locator("img")
    expect(pictures).to_have_count(5)
    assert [picture for picture in widths(pictures) if picture < 400] == []
    screenshot("candidate")


def test_the_candidates_link_opens_its_run_in_mlflow(page: Page) -> None:
    page.goto("/assets/models/flight_delays/candidate")
    page.goto(str(metadata(page, "mlflow_run").get_by_role("link").first.get_attribute("href")))
    expect(page.get_by_text("onnx_parity").first).to_be_visible()


def test_the_gate_shows_its_verdict_and_its_evidence(page: Page, screenshot: Screenshot) -> None:
    page.goto("/assets/models/flight_delays/candidate?view=checks")
    expect(page.get_by_text("This is a blocking asset check.")).to_be_visible()
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()
    expect(page.get_by_text("may be promoted")).to_be_visible()
    expect(page.locator("tr", has=page.get_by_text("roc_auc", exact=True)).last).to_contain_text("0.")
    screenshot("gate")


def test_each_expectation_is_a_check_that_a_person_can_open(page: Page) -> None:
    page.goto("/assets/lake/flights?view=checks")
    page.get_by_text("origin_is_known", exact=True).first.click()
    expect(page.get_by_text("expect column values to be in set", exact=False).first).to_be_visible()
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()


def test_the_partitions_tell_which_days_are_there_and_what_they_hold(page: Page, screenshot: Screenshot) -> None:
    page.goto("/assets/lake/flights?view=partitions")
    expect(page.get_by_text("Materialized (38)")).to_be_visible()
    expect(page.get_by_text("Missing (327)")).to_be_visible()
    page.get_by_placeholder("Filter by name").fill("2013-01-15")
    page.get_by_text("2013-01-15", exact=True).first.click()
    expect(page.get_by_text("partition_row_count")).to_be_visible()
    screenshot("partitions")


def test_drift_and_performance_show_their_pictures(page: Page, screenshot: Screenshot) -> None:
    page.set_viewport_size({"width": 1600, "height": 1160})
    for table, picture in {"drift": "heat map", "performance": "performance over time"}.items():
        page.goto(f"/assets/monitoring/flight_delays/{table}")
        [width] = widths(opened(page, picture).locator("img"))
        assert width > 300
        screenshot(table)


def test_a_person_materialises_one_day(page: Page, line: Line) -> None:
    assert ONE_DAY not in materialised(line)
    launch(page, ONE_DAY)
    eventually(lambda: ONE_DAY in materialised(line), line)
    page.goto("/assets/lake/weather?view=partitions")
    expect(page.get_by_text("Materialized (39)")).to_be_visible()


@pytest.mark.loop
def test_a_person_backfills_some_days_in_one_run(page: Page, line: Line) -> None:
    before = line.instance.get_runs_count()
    launch(page, f"[{MORE_DAYS[0]}...{MORE_DAYS[-1]}]")
    eventually(lambda: set(MORE_DAYS) <= materialised(line), line)
    assert line.instance.get_runs_count() == before + 1


def metadata(page: Page, entry: str) -> Locator:
    """The row of an entry in the table of an asset's metadata."""
    return page.locator("tr", has=page.get_by_text(entry, exact=True)).filter(visible=True).first


def opened(page: Page, entry: str) -> Locator:
    """The dialog that shows an entry of Markdown."""
    metadata(page, entry).get_by_text("Show Markdown").click()
    dialog = page.get_by_role("dialog").filter(has_text=entry)
    expect(dialog).to_be_visible()
    return dialog


def widths(pictures: Locator) -> list[int]:
    """How wide the pictures are that were decoded; 0 for one that the page could not show."""
    pictures.first.wait_for()
    return pictures.evaluate_all("all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth, () => 0)))")


def around(boxes: Locator) -> FloatRect:
    """The part of the window that holds all boxes, with a margin."""
    found = [box for box in (element.bounding_box() for element in boxes.all()) if box]
    left, top = min(box["x"] for box in found) - 10, min(box["y"] for box in found) - 10
    right = max(box["x"] + box["width"] for box in found) + 10
    bottom = max(box["y"] + box["height"] for box in found) + 10
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def launch(page: Page, days: str) -> None:
    """Fill in the days and launch, as a person does."""
    page.goto("/assets/lake/weather")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
    dialog.get_by_role("textbox").fill(days)
    dialog.get_by_role("textbox").blur()
    button = dialog.get_by_role("button", name="Launch")
    expect(button).to_be_enabled()
    button.click()
    expect(dialog).to_be_hidden()


def materialised(line: Line) -> set[str]:
    return line.instance.get_materialized_partitions(dg.AssetKey(WEATHER))


def eventually(happened: Callable[[], bool], line: Line) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not happened():
        failed = line.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert not failed, f"run {failed[0].run_id} failed; see {line.settings.home / 'services'}"
        assert time.monotonic() < deadline, f"not materialised in {RUN_SECONDS} s"
        time.sleep(0.2)
