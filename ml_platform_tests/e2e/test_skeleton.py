"""What `dg scaffold` writes is a product that computes, not only one that loads."""

from pathlib import Path
from string import Template

import dagster as dg
import yaml

from ml_platform.components.model_product import product_definitions
from ml_platform.components.scaffolder import SKELETON
from ml_platform.core import keys
from ml_platform.core.product import ProductSpec
from ml_platform.definitions import deployed
from ml_platform.gateways.lake import Lake
from ml_platform.runs import materialise
from ml_platform.settings import Settings

DAYS = ("2025-01-01", "2025-01-02")


def test_a_scaffolded_product_makes_features_from_landed_files(tmp_path: Path):
    folder = tmp_path / "churn"
    folder.mkdir()
    for file in SKELETON.iterdir():
        (folder / file.name).write_text(Template(file.read_text()).substitute(name="churn"))
    product = ProductSpec.model_validate(yaml.safe_load((folder / "defs.yaml").read_text())["attributes"])
    settings = Settings(home=tmp_path / "home", code_revision="test")
    for day in DAYS:
        landed = tmp_path / "home" / "lake" / "landing" / "churn_events" / day
        landed.mkdir(parents=True)
        (landed / "events.csv").write_text(
            f"event_id,date,hour,amount,kind,outcome\n{day}-a,{day},9,12.5,web,1\n{day}-b,{day},17,,shop,\n"
        )
    definitions = deployed(product_definitions(product, folder), settings)
    with dg.DagsterInstance.ephemeral() as instance:
        tables = [keys.lake("churn_events"), keys.features("churn")]
        materialise(instance, definitions, tables, lambda _step, _event: None, DAYS)
    rows = Lake(settings.lake_uri).rows(keys.features("churn"), *DAYS)
    assert {(r["event_id"], r["asked_at"].hour, r["amount"], r["outcome"]) for r in rows} == {
        (f"{day}-{name}", hour - 1, amount, outcome)
        for day in DAYS
        for name, hour, amount, outcome in (("a", 9, 12.5, 1), ("b", 17, None, None))
    }
