"""What is declared: products, alert addresses, the revision of the code."""

from ml_platform.asset_checks.products import declared_products
from ml_platform.core.product_endpoint import AutoscaleSpec
from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.errors import SettingsError, SpecError
from ml_platform.gateways.alerts.address import addresses
from ml_platform.settings import Settings


def look_at_products() -> Seen:
    """Read the declarations of all products with their expectations."""
    from dagster import DagsterError

    try:
        products = declared_products()
    except (SpecError, ValueError, DagsterError) as error:
        raise CheckFailed(
            f"{type(error).__name__}: {error}", "Run `dg check yaml`, which names file and line"
        ) from error
    if not products:
        raise CheckFailed(
            "no product is declared", "Declare one: dg scaffold defs ml_platform.components.ModelProduct NAME"
        )
    return {"products": ", ".join(each.product.name for each in products)}


def declared_ports() -> dict[str, int]:
    """The port of each product's endpoint on this machine."""
    return {each.product.name: each.product.endpoint.port for each in declared_products() if each.product.endpoint}


def declared_autoscaling() -> dict[str, AutoscaleSpec]:
    """How the endpoints of products are scaled that say so, by product."""
    declared = {each.product.name: each.product.endpoint.autoscale for each in declared_products()}
    return {name: scaled for name, scaled in declared.items() if scaled}


def look_at_alerts(settings: Settings) -> Seen:
    """Parse the addresses; nothing is sent to them."""
    try:
        found = addresses([url.get_secret_value() for url in settings.alert_urls])
    except SettingsError as error:
        raise CheckFailed("an address is none", str(error)) from error
    kept = str(settings.home / "alerts.db")
    return {"addresses": ", ".join(each.name for each in found) or "none", "kept_in": kept}


def look_at_revision(settings: Settings) -> Seen:
    """Where the code comes from, which each run records."""
    try:
        return {"revision": settings.revision}
    except SettingsError as error:
        raise CheckFailed(
            "the revision of the code is not known", "Set ML_PLATFORM_CODE_REVISION to the commit that was installed"
        ) from error
