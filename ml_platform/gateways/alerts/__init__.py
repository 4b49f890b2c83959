"""Alerts: kept on this deployment first, then told to the addresses of the settings."""

import time
from collections.abc import Sequence
from pathlib import Path

from ml_platform.gateways.alerts.address import addresses
from ml_platform.gateways.alerts.alert import Alert, Kind, presentable
from ml_platform.gateways.alerts.ledger import Ledger

__all__ = ["Alert", "Alerts", "Kind"]

DELIVERY_SECONDS = 30


class Alerts:
    """The alerts of a deployment: kept in the file `ledger`, with or without an address, and told at least once.

    An alert is kept before it is told and struck off an address's list after the address took it: a crash between the
    two tells it twice rather than never. Raises SettingsError, without any part of a URL, for an address of no service.
    """

    def __init__(self, ledger: Path, urls: Sequence[str] = ()) -> None:
        self._ledger = Ledger(ledger)
        self._secrets = tuple(urls)
        self._addresses = addresses(urls)

    def send(self, alert: Alert) -> bool:
        """Keep `alert` and put it on the list of every address; False when an alert with its key was kept before."""
        return self._ledger.keep(presentable(alert, self._secrets), [address.name for address in self._addresses])

    def deliver(self) -> list[str]:
        """Tell each address what is on its list, and give the names of those that did not take an alert.

        An address that fails is tried again at the next call; the others do not wait for it. Stops within
        DELIVERY_SECONDS and the time of one message: the rest is for the next call.
        """
        until = time.monotonic() + DELIVERY_SECONDS
        failed: list[str] = []
        waiting = list(self._addresses)
        while waiting and time.monotonic() < until:
            address = waiting.pop(0)
            untold = self._ledger.take(address.name)
            if untold is None:
                continue
            if address.tell(untold.alert):
                self._ledger.told(untold, address.name)
                waiting.append(address)
            else:
                self._ledger.give_back(untold, address.name)
                failed.append(address.name)
        return failed

    def kept(self, limit: int = 50) -> list[Alert]:
        """The last alerts, newest first."""
        return self._ledger.latest(limit)
