"""The champion as a team without ONNX would keep it: a scikit-learn pipeline over a DataFrame, pickled."""

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from dbx_jobs.contract import Days
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.gateways.lake import Lake
from ml_platform.stages.roles import roles
from ml_platform.training.contract import FeatureTable
from ml_platform.training.data import Rows, read_rows

FILE = "pipeline.joblib"
"""The name that `benchmarks.azure_scoring` reads."""

DAYS = 7
"""Of the product's first days, some thousand rows: enough that each tree has as many leaves as the champion's may."""

FIXED = {"n_jobs": 1, "random_state": 0, "verbosity": -1}
"""One thread: there is one record a request, and threads that wait for each other would only slow it down."""


def fit_pipeline(lake: Lake, product: ProductSpec, estimator: str, parameters: Mapping[str, Any]) -> Pipeline:
    """The champion's estimator with its parameters behind a ColumnTransformer, fitted on the first days."""
    rows = _first_days(lake, product)
    categorical = [name for name, kind in rows.kinds.items() if kind == "categorical"]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    encode = ColumnTransformer([("categories", codes, categorical)], remainder="passthrough")
    package, _, name = estimator.rpartition(".")
    classifier = getattr(import_module(package), name)(**{**FIXED, **parameters})
    return make_pipeline(encode, classifier).fit(rows.features, rows.label)


def write_pipeline(pipeline: Pipeline, directory: Path) -> None:
    """Write it as teams do."""
    directory.mkdir()
    joblib.dump(pipeline, directory / FILE)


def probability(pipeline: Pipeline, record: Mapping[str, Any]) -> float:
    """What it gives for one record."""
    return float(pipeline.predict_proba(pd.DataFrame([record]))[0, 1])


def _first_days(lake: Lake, product: ProductSpec) -> Rows:
    table = keys.features(product.name)
    days = Days(product.start.isoformat(), (product.start + timedelta(days=DAYS - 1)).isoformat())
    return read_rows(FeatureTable(lake.table(table), lake.version(table), roles(product)), days)
