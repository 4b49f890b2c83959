"""A run that does, rightly and wrongly, all that needs a credential, and tells all that it can of it.

`python -m ...telling_run LAKE STORE`: on the instance of DAGSTER_HOME, with every logger at its most talkative.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from deltalake import DeltaTable

from dbx_jobs.jobs.ingest import ingest
from dbx_jobs.object_store import azure_options, delta_options, open_store
from dbx_jobs.online_store import replace_rows
from dbx_jobs.runtime import spark_session
from ml_platform.gateways.build import build_gateways
from ml_platform.gateways.lake import Lake
from ml_platform.scoring import online_store
from ml_platform.settings import Settings
from ml_platform_tests.jobs.landed import flights
from ml_platform_tests.jobs.stored import StoredLake

DAY = "2013-01-07"


@dg.asset
def telling(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    logging.basicConfig(level=logging.DEBUG, force=True)
    settings = Settings()
    lake, store = build_gateways(settings).lake, settings.online_store_uri
    lake.write_text("state.json", repr(settings))
    told: list[Any] = [settings, settings.model_dump(), settings.model_dump_json(), lake, vars(lake), lake.files]
    told += [vars(lake.files), open_store(lake.uri), azure_options(), delta_options(), lake.landed("flights")]
    _ingest(lake)
    told += [lake.version(("lake", "flights")), lake.open_table(("lake", "flights")).history()]
    replace_rows(store, "delays", [("0:1", "1")])
    reader = online_store.open_store(store, "delays")
    told += [reader, vars(reader), asyncio.run(reader.get(["0:1"]))]
    for wrong in _wrong(lake, store):
        try:
            wrong()
        except Exception as error:  # whatever it is: it is what it says that counts
            context.log.exception("as it should")
            told += [repr(error), traceback.format_exc()]
        else:
            raise AssertionError("what is wrong was not refused")
    for each in told:
        print(each)
        context.log.info(f"{each!r}")
    return dg.MaterializeResult(metadata={"lake": repr(lake), "settings": repr(settings), "told": str(told)})


def _ingest(lake: Lake) -> None:
    stored = StoredLake(Path(), lake.uri)
    stored.land("flights", DAY, flights(DAY, {}, {"flight": "x"}))
    with spark_session() as spark:
        ingest(spark, stored.request("flights", DAY, DAY))


def _wrong(lake: Lake, store: str) -> list[Callable[[], Any]]:
    elsewhere = Lake(lake.uri.replace("abfss://", "abfss://no"))
    closed = store.rpartition(":")[0] + ":1/0"
    return [
        lambda: elsewhere.landed("flights"),
        lambda: elsewhere.write_text("a", "b"),
        lambda: DeltaTable(elsewhere.table(("lake", "flights")), storage_options=delta_options()),
        lambda: lake.read_text("none"),
        lambda: _ingest(elsewhere),
        lambda: replace_rows(closed, "delays", [("0:1", "1")]),
        lambda: asyncio.run(online_store.open_store(closed, "delays").get(["0:1"])),
    ]


def main() -> None:
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize([telling], instance=instance, raise_on_error=False)
        print(result.run_id)
    sys.exit(not result.success)


if __name__ == "__main__":
    main()
