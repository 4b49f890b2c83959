"""The code location: what it holds, and what it must not import to load fast."""

import json
import subprocess
import sys

import dagster as dg
import pytest

from ml_platform.definitions import defs

HEAVY = (
    "apprise",
    "azure",
    "deltalake",
    "great_expectations",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "onnxruntime",
    "optuna",
    "pandas",
    "pyspark",
    "sklearn",
)

LINEAGE = {
    "lake/airlines": [],
    "lake/airports": [],
    "lake/flights": [],
    "lake/planes": [],
    "lake/weather": [],
    "features/flight_delays": ["lake/airlines", "lake/airports", "lake/flights", "lake/planes", "lake/weather"],
    "features/flight_delays_online": ["lake/airlines", "lake/airports", "lake/flights", "lake/planes", "lake/weather"],
    "models/flight_delays/candidate": ["features/flight_delays"],
    "models/flight_delays/champion": ["models/flight_delays/candidate"],
    "endpoints/flight_delays": ["features/flight_delays_online", "models/flight_delays/champion"],
    "monitoring/flight_delays/inference_log": ["endpoints/flight_delays"],
    "monitoring/flight_delays/ground_truth": ["features/flight_delays", "monitoring/flight_delays/inference_log"],
    "monitoring/flight_delays/drift": ["models/flight_delays/champion", "monitoring/flight_delays/inference_log"],
    "monitoring/flight_delays/online_features": [
        "features/flight_delays_online",
        "monitoring/flight_delays/inference_log",
    ],
    "monitoring/flight_delays/performance": [
        "monitoring/flight_delays/ground_truth",
        "monitoring/flight_delays/inference_log",
    ],
    "monitoring/flight_delays/retrain_decision": [
        "features/flight_delays",
        "lake/flights",
        "lake/weather",
        "monitoring/flight_delays/drift",
        "monitoring/flight_delays/performance",
    ],
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def test_one_declaration_gives_the_whole_lineage(definitions):
    specs = definitions.resolve_all_asset_specs()
    lineage = {s.key.to_user_string(): sorted(d.asset_key.to_user_string() for d in s.deps) for s in specs}
    assert lineage == LINEAGE


def test_every_asset_says_what_it_is_whose_it_is_and_where_it_belongs(definitions):
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description and spec.owners and spec.kinds and spec.tags["product"] == "flight_delays"
        assert (
            spec.group_name
            == {
                "lake": "lake",
                "features": "features",
                "models": "model",
                "endpoints": "endpoint",
                "monitoring": "monitoring",
            }[spec.key.path[0]]
        )


def test_the_gate_and_every_error_expectation_block(definitions):
    blocking = {
        key.to_user_string(): spec.blocking
        for check in definitions.resolve_asset_graph().assets_defs
        for key, spec in [(s.key, s) for s in check.check_specs]
    }
    assert blocking["models/flight_delays/candidate:gate"]
    assert blocking["lake/flights:origin_is_known"]
    assert not blocking["lake/flights:tail_number_is_given"]


def test_loading_the_location_imports_nothing_heavy():
    program = (
        # Dagster asks every installed library for its components: what those bring is not for us to decide.
        "import json, sys; from dagster.components.core.package_entry import discover_entry_point_package_objects; "
        "discover_entry_point_package_objects(); before = set(sys.modules); "
        "import ml_platform.definitions as d; d.defs(); print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in json.loads(output.splitlines()[-1])}
    assert loaded & set(HEAVY) == set()
