"""Dagster's SQLite storages with their connections kept: a replay makes thousands of runs in one process.

Dagster's own classes build an engine and open a connection for every statement, and wait for the disk after each. The
files are the same: any other process reads them with Dagster's own classes.
"""

import shutil
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine

ENDS = {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}

INDEXED = {*ASSET_EVENTS, *ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}
"""What Dagster writes to the index of all runs as well."""

SCHEMA = ("has_table", "has_asset_key_col", "has_secondary_index")
"""What Dagster asks about the event log's own schema, several times an event; no process changes it meanwhile."""

OPEN_SHARDS = 8
"""Event logs of single runs that are kept open."""


def quick_instance(home: Path) -> dg.DagsterInstance:
    """The persistent instance of `home` (a DAGSTER_HOME) for one process that makes many runs.

    What a step prints is not captured; it goes where this process's output goes.
    """
    nothing = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    history = str(home / "history")
    overrides = {
        "compute_logs": nothing,
        "run_storage": _own("KeptRunStorage", history),
        "event_log_storage": _own("KeptEventLog", str(home / "history" / "runs")),
        "schedule_storage": _own("KeptScheduleStorage", str(home / "schedules")),
    }
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


def _own(name: str, base_dir: str) -> dict[str, Any]:
    return {"module": __name__, "class": name, "config": {"base_dir": base_dir}}


class Engines:
    """One engine a database, the least recently used closed beyond `limit`."""

    def __init__(self, limit: int = OPEN_SHARDS) -> None:
        self._open: OrderedDict[str, Engine] = OrderedDict()
        self._limit = limit
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self, address: str) -> Iterator[Connection]:
        """A connection to `address` in a transaction; one thread at a time."""
        with self._lock, self._engine(address).begin() as connection:
            yield connection

    def _engine(self, address: str) -> Engine:
        if address not in self._open:
            engine = create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
            event.listen(engine, "connect", _do_not_wait)
            self._open[address] = engine
        self._open.move_to_end(address)
        while len(self._open) > self._limit:
            self._open.popitem(last=False)[1].dispose()
        return self._open[address]


def _do_not_wait(connection: Any, _record: Any) -> None:
    # What is written survives the end of this process, SIGKILL included; not a power cut.
    connection.execute("PRAGMA synchronous=OFF")


class KeptRunStorage(SqliteRunStorage):
    """Dagster's runs with one engine."""

    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self._engines = Engines()
        super().__init__(conn_string, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteRunStorage:
        """See Dagster's ConfigurableClass."""
        return cls.from_local(inst_data=inst_data, **config_value)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """See SqliteRunStorage."""
        with self._engines.transaction(self._conn_string) as connection:
            yield connection


class KeptScheduleStorage(SqliteScheduleStorage):
    """Dagster's ticks with one engine."""

    def __init__(self, conn_string: str, inst_data: Any = None) -> None:
        self._engines = Engines()
        super().__init__(conn_string, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteScheduleStorage:
        """See Dagster's ConfigurableClass."""
        return cls.from_local(inst_data=inst_data, **config_value)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """See SqliteScheduleStorage."""
        with self._engines.transaction(self._conn_string) as connection:
            yield connection


class _Event(threading.local):
    """The event that a thread stores."""

    def __init__(self) -> None:
        self.last: dg.EventLogEntry | None = None
        self.row: dict[str, Any] = {}
        self.run_is_written = False
        self.index_is_read = False


class _Nothing:
    """Stands for the connection to a run's file, which is written later."""

    def execute(self, statement: Any) -> None:
        """Do nothing."""


class KeptEventLog(SqliteEventLogStorage):
    """Dagster's event log, one file a run, with the engines of the last runs.

    What is asked again and again about an asset is remembered until this process writes an event of that asset: no
    other process may write meanwhile. The events of a run are written to its own file together, when somebody asks for
    them or the run ends: a run that is killed has none there. What it says of assets is in the index at once.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines = Engines()
        self._known: dict[dg.AssetKey, dict[tuple, Any]] = defaultdict(dict)
        self._unwritten: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._event = _Event()
        self._preparing = threading.Lock()
        super().__init__(base_dir, inst_data)
        for question in SCHEMA:
            setattr(self, question, cache(getattr(self, question)))

    @cached_property
    def supports_global_concurrency_limits(self) -> bool:
        """Runs that share a pool never meet here: they make the same asset, and are made one after the other."""
        return False

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        return self.has_asset_key_index_cols()

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "KeptEventLog":
        """See Dagster's ConfigurableClass."""
        return cls(inst_data=inst_data, **config_value)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """See SqliteEventLogStorage."""
        self._unwritten[event.run_id].append(self._event_to_row(event))
        kind = event.dagster_event_type if event.dagster_event else None
        if kind in INDEXED:
            self._event.run_is_written = True
            try:
                super().store_event(event)
            finally:
                self._event.run_is_written = False
        if event.dagster_event and event.dagster_event.asset_key:
            self._forget(event.dagster_event.asset_key)
        if kind in ENDS:
            self._write(event.run_id)

    def run_connection(self, run_id: str | None = None) -> Any:
        """See SqliteEventLogStorage."""
        if self._event.run_is_written:
            return nullcontext(_Nothing())
        if self._event.index_is_read:
            return self.index_connection()
        if run_id:
            self._write(run_id)
        return super().run_connection(run_id)

    def get_records_for_run(
        self,
        run_id: str,
        cursor: str | None = None,
        of_type: dg.DagsterEventType | set[dg.DagsterEventType] | None = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> Any:
        """See SqlEventLogStorage. What the index has as well is read there: one file instead of one a run."""
        kinds = {of_type} if isinstance(of_type, dg.DagsterEventType) else set(of_type or ())
        self._event.index_is_read = bool(kinds) and kinds <= INDEXED and cursor is None
        try:
            return super().get_records_for_run(run_id, cursor, of_type, limit, ascending)
        finally:
            self._event.index_is_read = False

    def dispose(self) -> None:
        """See SqliteEventLogStorage."""
        for run_id in list(self._unwritten):
            self._write(run_id)
        super().dispose()

    def _write(self, run_id: str) -> None:
        if rows := self._unwritten.pop(run_id, []):
            with super().run_connection(run_id) as connection:
                connection.execute(SqlEventLogStorageTable.insert(), rows)

    def _event_to_row(self, event: dg.EventLogEntry) -> dict[str, Any]:
        # Once for both files: most of the time goes into the text of an event.
        if self._event.last is not event:
            self._event.last, self._event.row = event, super()._event_to_row(event)
        return self._event.row

    def get_latest_tags_by_partition(
        self,
        asset_key: dg.AssetKey,
        event_type: dg.DagsterEventType,
        tag_keys: Sequence[str],
        asset_partitions: Sequence[str] | None = None,
        before_cursor: int | None = None,
        after_cursor: int | None = None,
    ) -> Mapping[str, Mapping[str, str]]:
        """See SqlEventLogStorage."""
        wanted = None if asset_partitions is None else tuple(asset_partitions)
        question = ("tags", event_type, tuple(tag_keys), wanted, before_cursor, after_cursor)
        look = super().get_latest_tags_by_partition
        return self._remember(
            asset_key,
            question,
            lambda: look(asset_key, event_type, tag_keys, asset_partitions, before_cursor, after_cursor),
        )

    def get_latest_materialization_events(
        self, asset_keys: Iterable[dg.AssetKey]
    ) -> Mapping[dg.AssetKey, dg.EventLogEntry | None]:
        """See SqlEventLogStorage."""
        found: dict[dg.AssetKey, dg.EventLogEntry | None] = {}
        look = super().get_latest_materialization_events
        for key in asset_keys:
            found |= self._remember(key, ("materialisation",), partial(look, [key]))
        return found

    def fetch_observations(
        self,
        records_filter: dg.AssetKey | dg.AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,
    ) -> dg.EventRecordsResult:
        """See SqlEventLogStorage."""
        look = partial(super().fetch_observations, records_filter, limit, cursor, ascending)
        if not isinstance(records_filter, dg.AssetKey):
            return look()
        return self._remember(records_filter, ("observations", limit, cursor, ascending), look)

    def get_asset_records(self, asset_keys: Sequence[dg.AssetKey] | None = None) -> Sequence[Any]:
        """See SqlEventLogStorage."""
        look = super().get_asset_records
        if asset_keys is None:
            return look()
        return [record for key in asset_keys for record in self._remember(key, ("records",), partial(look, [key]))]

    def update_asset_cached_status_data(self, asset_key: dg.AssetKey, cache_values: Any) -> None:
        """See SqlEventLogStorage."""
        super().update_asset_cached_status_data(asset_key, cache_values)
        self._forget(asset_key)

    def _remember(self, key: dg.AssetKey, question: tuple, look: Callable[[], Any]) -> Any:
        # What is forgotten while it looks is not kept.
        answers = self._known[key]
        if question not in answers:
            answers[question] = look()
        return answers[question]

    def _forget(self, key: dg.AssetKey) -> None:
        self._known.pop(key, None)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        self._prepare(shard)
        with self._engines.transaction(self.conn_string_for_shard(shard)) as connection:
            yield connection

    def _prepare(self, shard: str) -> None:
        """Create a run's file as a copy of an empty one: migrating each from nothing takes longer than the run."""
        path = Path(self.path_for_shard(shard))
        if shard == INDEX_SHARD_NAME or path.exists():
            return
        empty = path.parent / "empty" / "run.db"
        with self._preparing:  # two runs may be the first ones
            if not empty.exists():
                empty.parent.mkdir(parents=True, exist_ok=True)
                fresh = SqliteEventLogStorage(str(empty.parent))
                with fresh.run_connection("run"):
                    pass
        shutil.copyfile(empty, path)
