"""The candidate's asset shows what a person asks of a model."""

import base64
import re

import pytest
from mlflow import MlflowClient

from ml_platform.core import keys
from ml_platform_tests.e2e.line import PRODUCT, TRAINED_UNTIL, Line

PLOTS = ("curves", "calibration", "importances", "slices", "search")


def test_the_candidate_shows_its_card_with_the_window_that_it_learned_from(line: Line) -> None:
    card = str(line.metadata(keys.candidate(PRODUCT))["card"].value)
    assert card.startswith(f"# {PRODUCT}")
    assert "2013-01-01" in card
    assert TRAINED_UNTIL in card


@pytest.mark.parametrize("plot", PLOTS)
def test_the_candidate_shows_each_plot_as_a_picture_that_is_small_enough_for_the_event_log(
    line: Line, plot: str
) -> None:
    markdown = str(line.metadata(keys.candidate(PRODUCT))[f"plot: {plot}"].value)
    [encoded] = re.findall(r"!\[.+\]\(data:image/png;base64,(.+)\)", markdown)
    png = base64.b64decode(encoded, validate=True)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(encoded) < 80_000


def test_the_candidates_link_leads_to_the_mlflow_run_with_the_same_figures(line: Line) -> None:
    shown = line.metadata(keys.candidate(PRODUCT))
    link = str(shown["mlflow_run"].value)
    assert link.startswith(line.settings.mlflow_ui)
    run = MlflowClient(line.settings.mlflow_tracking_uri).get_run(link.rsplit("/", 1)[-1])
    for name in ("roc_auc", "log_loss"):
        assert [v for k, v in run.data.metrics.items() if k.endswith(name)] == [pytest.approx(shown[name].value)], name
