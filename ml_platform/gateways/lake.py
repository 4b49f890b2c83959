"""The lake: where landed files and Delta tables are, under one URI, and which version a table has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_platform.core.keys import AssetPath
from ml_platform.errors import LakeError

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class Lake:
    """A lake under `uri` (file:// or abfss://). `storage_options` are delta-rs's; secrets stay out of the repr."""

    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def landing(self, source: str) -> str:
        """Folder in which the files of a source land."""
        return f"{self.uri}/landing/{source}"

    def quarantine(self, source: str) -> str:
        """Table of the rows of a source that did not fit."""
        return f"{self.uri}/quarantine/{source}"

    def inference_log(self) -> str:
        """Folder below which endpoints write their requests and predictions."""
        return f"{self.uri}/modelDataCollector"

    def table(self, key: AssetPath) -> str:
        """URI of the Delta table behind an asset."""
        return "/".join((self.uri, *key))

    def version(self, key: AssetPath) -> int:
        """Current Delta version of the table behind an asset. Raises LakeError when there is no table."""
        return self._open(key).version()

    def rows(self, key: AssetPath, start: str, end: str) -> list[dict[str, Any]]:
        """The rows of the days from `start` to `end` of a small daily table, for pictures, replays and summaries."""
        days = [("day", ">=", date.fromisoformat(start)), ("day", "<=", date.fromisoformat(end))]
        return self._open(key).to_pyarrow_table(filters=days).to_pylist()

    def _open(self, key: AssetPath) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.table(key), storage_options=dict(self.storage_options) or None)
        except TableNotFoundError as error:
            raise LakeError(f"There is no table at {self.table(key)}: materialise {'/'.join(key)} first") from error
