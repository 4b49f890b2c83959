"""A product is declared once; what is wrong in the declaration is refused with its line and what is allowed."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from ml_platform.components import ModelProduct
from ml_platform.components.expectations import load_expectations
from ml_platform.components.model_product import EXPECTATIONS_FILE
from ml_platform.components.scaffolder import SKELETON
from ml_platform.definitions import deployed
from ml_platform.errors import SpecError
from ml_platform.settings import PROJECT_ROOT, Settings

PRODUCT = PROJECT_ROOT / "ml_platform" / "defs" / "flight_delays"


def written(declaration: dict) -> str:
    return yaml.safe_dump(declaration, sort_keys=False)


def load(declaration: dict) -> dg.Definitions:
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.scaffold_component(component_cls=ModelProduct, defs_path="trial")
        (folder / "defs.yaml").write_text(written(declaration))
        (folder / EXPECTATIONS_FILE).unlink()
        with sandbox.load_component_and_build_defs(defs_path=folder) as (_, definitions):
            return definitions


@pytest.fixture
def declaration() -> dict:
    return yaml.safe_load((PRODUCT / "defs.yaml").read_text())


def message(error: BaseException | None) -> str:
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


# What is set to what, what the message must say, and the line that it must name.
WRONG = {
    "an unknown key": (
        ("features", "look_ahead_days"),
        1,
        "unknown key; allowed here: description, transform",
        "look_ahead_days:",
    ),
    "a wrong type of column": (
        ("sources", "planes", "columns", "seats", "type"),
        "integer",
        "'int', 'bigint'",
        "type: integer",
    ),
    "a negative look-back": (("features", "look_back_days"), -1, "greater than or equal to 0", "look_back_days:"),
    "a direction that does not fit": (
        ("model", "metric", "direction"),
        "minimize",
        "is better when maximized",
        "metric:",
    ),
    "an unknown metric": (("model", "gate", "floors"), {"auc": 0.5}, "'roc_auc'", "auc: 0.5"),
    "a key column that is not declared": (
        ("sources", "planes", "key"),
        ["tail"],
        "['tail'] are used but not declared",
        "planes:",
    ),
    "a broken import path": (("model", "estimator"), "LGBM Classifier", "should match pattern", "estimator:"),
    "a range upside down": (
        ("model", "search_space", "num_leaves"),
        {"low": 9, "high": 3},
        "must be below",
        "num_leaves:",
    ),
    "an hour that no day has, to fill at": (
        ("automation",),
        {"fill": "0 25 * * *"},
        "'0 25 * * *' is no cron expression: [0 25 * * *] is not acceptable, out of range; give minute, hour, day",
        "fill:",
    ),
    "a word instead of a cron, to restate at": (
        ("automation",),
        {"restate": "@weekly"},
        "'@weekly' is no cron expression: it has 1 fields, not 5; give minute, hour, day",
        "restate:",
    ),
    "a cron with seconds, for Azure ML's runs": (
        ("monitors", "azureml"),
        {"runs": "0 0 6 * * *"},
        "'0 0 6 * * *' is no cron expression: it has 6 fields, not 5",
        "runs:",
    ),
    "a day of the month, for Azure ML's runs": (
        ("monitors", "azureml"),
        {"runs": "0 6 1 * *"},
        "'0 6 1 * *' would run on each day that its weekday allows",
        "runs:",
    ),
    "a weekday that no week has, to read at": (
        ("monitors", "azureml"),
        {"read": "0 9 * * 8"},
        "'0 9 * * 8' is no cron expression: [0 9 * * 8] is not acceptable, out of range; give minute, hour, day",
        "read:",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_is_refused_with_its_line_and_what_is_allowed(case, declaration):
    path, value, expected, anchor = WRONG[case]
    part = declaration["attributes"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    lines = written(declaration).splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if anchor in text)
    with pytest.raises(Exception) as caught:
        load(declaration)
    text = message(caught.value)
    assert expected in text
    assert f"defs.yaml:{line}`" in text


def test_dg_check_yaml_names_the_line_and_what_is_allowed(tmp_path, declaration):
    root = tmp_path / "copy"
    subprocess.run(["git", "-C", str(PROJECT_ROOT), "rev-parse"], check=True)
    (root / "ml_platform").mkdir(parents=True)
    for name in ("pyproject.toml",):
        (root / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    wrong = (
        (PRODUCT / "defs.yaml")
        .read_text()
        .replace("look_back_days: 9", "look_back: 9")
        .replace("type: double", "type: float", 1)
    )
    folder = root / "ml_platform" / "defs" / "flight_delays"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(wrong)
    dg_command = Path(sys.executable).with_name("dg")
    result = subprocess.run([str(dg_command), "check", "yaml"], cwd=root, capture_output=True, text=True)
    assert result.returncode == 1
    line = 1 + wrong[: wrong.index("look_back: 9")].count("\n")
    assert f"defs.yaml:{line} " in result.stdout + result.stderr
    assert "'look_back' is not one of ['description', 'transform'" in result.stdout + result.stderr
    assert "'float' is not one of ['string', 'int'" in result.stdout + result.stderr


def test_scaffolding_writes_a_product_that_loads(tmp_path):
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.scaffold_component(component_cls=ModelProduct, defs_path="churn")
        assert {file.name for file in folder.iterdir()} == {file.name for file in SKELETON.iterdir()}
        with sandbox.load_component_and_build_defs(defs_path=folder) as (component, definitions):
            whole = deployed(definitions, Settings(home=tmp_path, code_revision="test"))
            keys = {spec.key.to_user_string() for spec in whole.resolve_all_asset_specs()}
    assert isinstance(component, ModelProduct) and component.product.name == "churn"
    assert {"lake/churn_events", "features/churn", "models/churn/champion", "endpoints/churn"} <= keys


def test_an_expectation_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    path = tmp_path / EXPECTATIONS_FILE
    path.write_text("tables: {lake/flights: [{name: a, expect: expect_columns_to_be_nice}]}")
    with pytest.raises(SpecError, match="unknown expectation.*expect_column_values_to_not_be_null"):
        load_expectations(path, {"lake/flights"})


def test_expectations_on_a_table_that_is_not_declared_are_refused(tmp_path):
    path = tmp_path / EXPECTATIONS_FILE
    path.write_text("tables: {lake/trains: []}")
    with pytest.raises(SpecError, match="unknown table.*allowed: lake/flights"):
        load_expectations(path, {"lake/flights"})
