"""A change shows which assets it adds, removes and alters, and what of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ml_platform.asset_checks.products import declared
from ml_platform.asset_list.changes import Alteration, as_markdown, compare
from ml_platform.asset_list.code import transform_digest
from ml_platform.asset_list.listing import Entry, as_json, list_assets
from ml_platform.cli import app
from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import EXPECTATIONS_FILE, product_definitions
from ml_platform.core.product import ProductSpec, SourceSpec
from ml_platform.definitions import deployed
from ml_platform.errors import SpecError
from ml_platform.settings import PROJECT_ROOT, Settings

PRODUCT = PRODUCTS / "flight_delays"
HOLIDAYS = SourceSpec.model_validate(
    {"description": "Days off.", "partitioning": "snapshot", "columns": {"day": {"type": "date"}}, "key": ["day"]}
)


def listed(product: ProductSpec, folder: Path = PRODUCT) -> dict[str, Entry]:
    whole = deployed(product_definitions(product, folder), Settings(code_revision="test"))
    return list_assets(whole, [declared(product, folder)])


@pytest.fixture(scope="module")
def product() -> ProductSpec:
    return declared_product("flight_delays")


@pytest.fixture(scope="module")
def base(product: ProductSpec) -> dict[str, Entry]:
    return listed(product)


def stricter(folder: Path) -> Path:
    """A folder with the product's expectations, one of them stricter."""
    tables: Any = yaml.safe_load((PRODUCT / EXPECTATIONS_FILE).read_text())
    check = next(e for e in tables["tables"]["lake/weather"] if e["name"] == "temperature_is_fahrenheit")
    check["kwargs"]["max_value"] = 110
    (folder / EXPECTATIONS_FILE).write_text(yaml.safe_dump(tables, sort_keys=False))
    return folder


def test_without_a_change_nothing_is_listed(product, base):
    again = listed(product)
    assert as_json(again) == as_json(base)
    assert f"No change to any of the {len(base)} assets." in as_markdown(compare(base, again), again)


def test_a_new_source_is_an_added_asset_and_alters_the_table_that_reads_it(product, base):
    head = listed(product.model_copy(update={"sources": product.sources | {"holidays": HOLIDAYS}}))
    changes = compare(base, head)
    assert (changes.added, changes.removed) == (["lake/holidays"], [])
    assert [a.path for a in changes.altered["features/flight_delays"]] == ["deps.lake/holidays"]
    added = next(line for line in as_markdown(changes, head).splitlines() if "**added**" in line)
    assert added.startswith("- **added** `lake/holidays` (lake)") and "`rows_fit`" in added
    back = compare(head, base)
    assert (back.added, back.removed) == ([], ["lake/holidays"])
    assert "- **removed** `lake/holidays`" in as_markdown(back, base)


def test_a_stricter_expectation_alters_its_table_alone_and_both_values_are_shown(product, base, tmp_path):
    head = listed(product, stricter(tmp_path))
    changes = compare(base, head)
    assert list(changes.altered) == ["lake/weather"]
    bound = Alteration("checks.temperature_is_fahrenheit.kwargs.max_value", "130", "110")
    assert bound in changes.altered["lake/weather"]
    assert f"| `lake/weather` | {bound.path} | `130` | `110` |" in as_markdown(changes, head)


CHANGES: dict[str, tuple[Callable[[ProductSpec], dict[str, Any]], str, str]] = {
    "the look-back": (
        lambda p: {"features": p.features.model_copy(update={"look_back_days": 12})},
        "features/flight_delays",
        "declaration.look_back_days",
    ),
    "the gate": (
        lambda p: {"model": p.model.model_copy(update={"gate": p.model.gate.model_copy(update={"margin": 0.5})})},
        "models/flight_delays/candidate",
        "declaration.gate.margin",
    ),
    "a threshold of drift": (
        lambda p: {
            "monitors": p.monitors.model_copy(update={"drift": p.monitors.drift.model_copy(update={"psi_alert": 9})})
        },
        "monitoring/flight_delays/drift",
        "declaration.drift.psi_alert",
    ),
    "the last day": (lambda p: {"end": None}, "lake/flights", "partitions.end"),
    "the owners": (lambda p: {"owners": ["team:others"]}, "endpoints/flight_delays", "owners"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_the_declaration_alters_the_assets_that_are_made_of_it(product, base, case):
    change, asset, path = CHANGES[case]
    changes = compare(base, listed(product.model_copy(update=change(product))))
    assert not changes.added and not changes.removed
    assert path in [alteration.path for alteration in changes.altered[asset]]


def test_the_digest_of_a_transform_follows_what_it_imports_and_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "shop"
    package.mkdir()
    texts = {
        "__init__": "",
        "features": "from shop import joins\nimport shop.sums",
        "joins": "from json import loads",
        "sums": "",
        "other": "",
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = [transform_digest("shop.features", tmp_path)]
    for name in ("other", "joins", "sums", "features"):
        with (package / f"{name}.py").open("a") as file:
            file.write("\nCHANGED = True\n")
        digests.append(transform_digest("shop.features", tmp_path))
    assert digests[1] == digests[0]
    assert len(set(digests)) == 4
    with pytest.raises(SpecError, match="there is no module shop.nothing"):
        transform_digest("shop.nothing", tmp_path)


def test_the_digest_of_a_query_follows_its_file(tmp_path):
    query = tmp_path / "features.sql"
    query.write_text("SELECT 1")
    before = transform_digest("features.sql", tmp_path)
    query.write_text("SELECT 2")
    assert transform_digest("features.sql", tmp_path) != before


def test_a_file_that_is_no_list_is_refused(tmp_path):
    (tmp_path / "base.json").write_text("no list")
    result = CliRunner().invoke(app, ["diff-assets", str(tmp_path / "base.json"), str(tmp_path / "base.json")])
    assert result.exit_code == 2 and "assets --json" in result.output


def test_ci_shows_what_the_working_tree_changes_in_a_revision(tmp_path):
    """The script of the workflow, in a repository of its own: equal bytes in two processes, or more would differ."""
    root = tmp_path / "project"
    for name in ("ml_platform", "dbx_jobs", ".ci"):
        shutil.copytree(PROJECT_ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "pyproject.toml", root)
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "base"]):
        subprocess.run([*git, *arguments], check=True)
    stricter(root / "ml_platform" / "defs" / "flight_delays")

    def shown(revision: str) -> str:
        environment = os.environ | {"PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [str(root / ".ci" / "asset-changes"), revision]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    markdown = shown("HEAD")
    assert "0 added, 0 removed, 1 altered" in markdown
    assert "| `lake/weather` | checks.temperature_is_fahrenheit.kwargs.max_value | `130` | `110` |" in markdown
    unknown = shown("0" * 40)
    assert "every asset counts as added" in unknown and "- **added** `features/flight_delays`" in unknown
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert status.split() == ["M", f"ml_platform/defs/flight_delays/{EXPECTATIONS_FILE}"]


def test_the_command_gives_json_and_a_table():
    whole = CliRunner().invoke(app, ["assets", "--json"])
    assert "lake/flights" in json.loads(whole.output)
    assert "lake/flights" in CliRunner().invoke(app, ["assets"]).output
