"""The candidate's asset shows what a person asks of a model."""

import base64
import re

import pytest
from mlflow import MlflowClient

from ml_platform.core import keys
from ml_platform_tests.e2e.line import PRODUCT, TRAINED_UNTIL, Line

PLOTS = ["curves", "calibration", "importances", "slices", "search"]
MOST_BYTES = 300_000
"""Of all pictures of an event: the UI loads them with the page, and the event log keeps them."""


def test_the_candidate_shows_its_card_with_the_window_that_it_learned_from(line: Line) -> None:
    card = str(line.metadata(keys.candidate(PRODUCT))["card"].value)
    assert card.startswith(f"# {PRODUCT}")
    assert "2013-01-01" in card
    assert TRAINED_UNTIL in card


def test_the_candidate_shows_every_plot_as_a_picture(line: Line) -> None:
    markdown = str(line.metadata(keys.candidate(PRODUCT))["plots"].value)
    pictures = dict(re.findall(r"!\[(.+?)\]\(data:image/png;base64,(.+?)\)", markdown))
    assert list(pictures) == PLOTS
    for encoded in pictures.values():
        assert base64.b64decode(encoded, validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    assert len(markdown) < MOST_BYTES


def test_the_candidates_link_leads_to_the_mlflow_run_with_the_same_figures(line: Line) -> None:
    shown = line.metadata(keys.candidate(PRODUCT))
    link = str(shown["mlflow_run"].value)
    assert link.startswith(line.settings.mlflow_ui)
    logged = MlflowClient(line.settings.mlflow_tracking_uri).get_run(link.rsplit("/", 1)[-1]).data.metrics
    figures = {name: shown[name].value for name in ("roc_auc", "average_precision", "log_loss", "brier")}
    assert {name: logged[name] for name in figures} == pytest.approx(figures)
