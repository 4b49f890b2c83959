"""An address that alerts go to, behind Apprise. Its URL is a secret: it is in no name, error or log."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.errors import SettingsError
from ml_platform.gateways.alerts.alert import Alert

if TYPE_CHECKING:
    import apprise

SEND_SECONDS = 10
SERVICES = "https://appriseit.com/services/"


class Address:
    """One address. Its name is its place in the settings and its scheme: any other part of a URL may be a secret."""

    def __init__(self, name: str, service: "apprise.Apprise") -> None:
        self.name = name
        self._service = service

    def tell(self, alert: Alert) -> bool:
        """Send `alert`; False when the service did not take it within SEND_SECONDS."""
        parts = [alert.what, alert.evidence, f"{alert.at:%Y-%m-%d %H:%M} UTC", alert.link]
        kind: Any = "warning" if alert.kind == "decision" else "failure"
        body = "\n\n".join(part for part in parts if part)
        return bool(self._service.notify(body=body, title=alert.title, notify_type=kind, body_format="text"))


def addresses(urls: Sequence[str]) -> list[Address]:
    """The addresses of `urls`, in their order. Raises SettingsError, without the URL, for one that Apprise refuses."""
    if not urls:
        return []
    import apprise

    _keep_quiet()
    # Not asynchronous: one address at a time, each with its own limit of time.
    asset = apprise.AppriseAsset(app_id="ml_platform", async_mode=False, service_timeout=SEND_SECONDS)
    return [_address(place, url, asset) for place, url in enumerate(urls, start=1)]


def _address(place: int, url: str, asset: "apprise.AppriseAsset") -> Address:
    import apprise

    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        raise SettingsError(
            f"Address {place} of ML_PLATFORM_ALERT_URLS is not one that Apprise can send to: "
            f"compare its scheme and parts with {SERVICES}"
        )
    told = apprise.Apprise(asset=asset)
    told.add(service)  # pyright: ignore[reportArgumentType]
    return Address(f"{place} {url.partition('://')[0].lower()}", told)


def _keep_quiet() -> None:
    # They log tokens of a URL that they refuse, and paths with tokens of those that they call.
    logging.getLogger("apprise").disabled = True
    for name in ("urllib3", "urllib3.connectionpool", "requests_oauthlib", "oauthlib"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
