"""The lake of a replay: days of the endpoint's log that are long past are looked at once, not at every tick."""

from dataclasses import dataclass, field
from typing import Any

from ml_platform.gateways.lake import Lake
from ml_platform.upstream import local_path

STILL_WRITTEN = 4
"""Days (of UTC) of the endpoint's log, up to the newest, that may still change."""


@dataclass(frozen=True)
class ReplayLake(Lake):
    """A lake on this machine whose endpoint is asked about one day after the other, by this process only."""

    _known: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def logged(self, endpoint: str, timezone: str) -> dict[str, str]:
        """See Lake."""
        folders = sorted(self._day_folders(f"{self.inference_log()}/{endpoint}"))
        found = super().logged(endpoint, timezone)
        # The first of the days that are listed again may lack hours that lie in the folder before.
        first = "-".join(folders[-STILL_WRITTEN]) if len(folders) > STILL_WRITTEN else ""
        self._known.update({day: files for day, files in found.items() if day not in self._known or day > first})
        return dict(self._known)

    def _files(self, folder: str, deep: bool = True) -> list[dict[str, Any]]:
        if not self._known or not folder.startswith(self.inference_log()):
            return super()._files(folder, deep)
        by_day = self._day_folders(folder)
        newest = sorted(by_day)[-STILL_WRITTEN:]
        return [file for day in newest for uri in by_day[day] for file in super(ReplayLake, self)._files(uri)]

    @staticmethod
    def _day_folders(log: str) -> dict[tuple[str, ...], list[str]]:
        """The folders `<deployment>/<collection>/<yyyy>/<MM>/<dd>` by their day."""
        found: dict[tuple[str, ...], list[str]] = {}
        for folder in local_path(log).glob("*/*/*/*/*"):
            found.setdefault(folder.parts[-3:], []).append(folder.as_uri())
        return found
