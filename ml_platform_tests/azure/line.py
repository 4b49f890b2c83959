"""The line of e2e/line.py with the Azure configuration, in the loopback cloud, and what keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from ml_platform.components.declared import PRODUCTS, declared_product
from ml_platform.components.model_product import product_definitions
from ml_platform.core.product import ProductSpec
from ml_platform.definitions import deployed
from ml_platform.gateways.build import build_gateways
from ml_platform.replay.daemon import Daemon
from ml_platform.settings import PROJECT_ROOT, Settings
from ml_platform_tests.e2e.kept_line import KeptLine, Trainings, eager
from ml_platform_tests.e2e.line import PRODUCT, Line, smaller

STATEMENT_MS = 60_000


@contextmanager
def kept_in_the_cloud() -> Iterator[KeptLine]:
    """The graph as the environment configures it, kept by its own sensors; the endpoint is gone at the end."""
    settings = Settings()
    write_instance(settings.dagster_home)
    product, gateways = forgiving(eager(smaller(declared_product(PRODUCT)))), build_gateways(settings)
    trainings = Trainings(gateways.jobs, may=True)
    definitions = deployed(product_definitions(product, PRODUCTS / PRODUCT), settings, jobs=trainings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        # As the web server does: this process asks PostgreSQL often, and Dagster's others connect for each question.
        instance.optimize_for_webserver(statement_timeout=STATEMENT_MS, pool_recycle=3600, max_overflow=20)
        line = Line(settings, instance, product, definitions, gateways)
        try:
            yield KeptLine(line, Daemon(instance, definitions), trainings)
        finally:
            gateways.endpoints.delete(PRODUCT)


def forgiving(product: ProductSpec) -> ProductSpec:
    """The product with a gate that asks for a better model than the champion, not for a good one.

    A model that has seen a few days of another world is no more.
    """
    gate = product.model.gate.model_copy(update={"floors": {"roc_auc": 0.4}, "ceilings": {"log_loss": 1.5}})
    return product.model_copy(update={"model": product.model.model_copy(update={"gate": gate})})


def write_instance(home: Path) -> None:
    """Dagster's instance of a deployment in Azure."""
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text((PROJECT_ROOT / "deployments" / "azure" / "dagster.yaml").read_text())
