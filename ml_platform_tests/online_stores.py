"""Online stores of both kinds for tests, with the values of a small model."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotYet

from dbx_jobs.contract import EventTime
from dbx_jobs.online_contract import SNAPSHOT, Group, Snapshot, row_name
from dbx_jobs.online_store import replace_rows
from ml_platform.scoring.state import OnlineDeclaration
from ml_platform_tests.emulators.identity import PRINCIPAL
from ml_platform_tests.emulators.process import Cloud
from ml_platform_tests.ports import free_port

AS_OF = 1364803200
"""2013-04-01 08:00 UTC."""
PASSWORD = "not-a-secret"
REQUEST: dict[str, Any] = {
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "sched_dep_at": "2013-04-01T09:15:00Z",
}
"""What a caller knows of the flight of `serving_directories.RECORD`."""
COMPUTED = {
    "flight_id": "day || '-' || carrier || '-' || flight || '-' || origin",
    "carrier": "carrier",
}
GROUPS = [Group(["origin", "dest"], ["distance"])]
DISTANCES = {("EWR", "IAH"): 1.5, (None, None): -2.0}


def declared_online(uri: str, **more: Any) -> OnlineDeclaration:
    """What an endpoint with such a store declares."""
    kinds = {name: "int" if name == "flight" else "string" for name in REQUEST} | {"sched_dep_at": "timestamp"}
    clock = EventTime("sched_dep_at", ["year", "month", "dayofmonth"], "sched_dep_time", "America/New_York", "hhmm")
    return OnlineDeclaration(uri, "delays", kinds, clock, **{"ttl_seconds": 3600.0, **more})


def fill(
    uri: str,
    distances: Mapping[Sequence[str | None], float | None] = DISTANCES,
    as_of: int = AS_OF,
    computed: Mapping[str, str] = COMPUTED,
) -> None:
    """Replace what the store holds."""
    rows = {row_name(0, key): json.dumps([value]) for key, value in distances.items()}
    snapshot = Snapshot(as_of, "2013-03-31", {"flights": 7}, repr(rows), dict(computed), GROUPS)
    replace_rows(uri, "delays", {**rows, SNAPSHOT: json.dumps(asdict(snapshot))}.items())


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Redis of its own, which asks for PASSWORD; its URI and process."""
    with _started(folder, "port", ["--requirepass", PASSWORD], {"password": PASSWORD}) as (port, process):
        yield f"redis://127.0.0.1:{port}/0", process


@contextmanager
def managed_redis(cloud: Cloud, *options: str) -> Iterator[Redis]:
    """A Redis as Azure offers it, TLS alone and a cluster, for PASSWORD or the identity PRINCIPAL; an admin's client.

    One machine that holds all slots refuses, as any cluster, what touches keys of two slots.
    """
    files = ["--tls-cert-file", str(cloud.certificate), "--tls-key-file", str(cloud.certificate)]
    files += ["--tls-ca-cert-file", str(cloud.ca), "--tls-auth-clients", "no"]
    users = ["--requirepass", PASSWORD, "--user", PRINCIPAL, "on", "nopass", "~*", "+@all"]
    trust = {"ssl": True, "ssl_ca_certs": str(cloud.ca), "password": PASSWORD}
    cluster = ["--port", "0", "--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    folder = Path(mkdtemp(prefix="redis-", dir=cloud.ca.parent))  # it keeps there which slots it holds
    with (
        _started(folder, "tls-port", [*files, *users, *cluster, *options], trust) as (port, _),
        Redis(port=port, decode_responses=True, **trust) as admin,
    ):
        admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 30
        while admin.cluster("info")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, "the slots were not taken"
            time.sleep(0.05)
        yield admin


@contextmanager
def _started(
    folder: Path, kind: str, options: list[str], client: dict[str, Any]
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    port = free_port()
    folder.mkdir(exist_ok=True)
    command = ["redis-server", f"--{kind}", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            _wait(port, client)
            yield port, process
        finally:
            process.kill()


def _wait(port: int, client: dict[str, Any]) -> None:
    deadline = time.monotonic() + 30
    with Redis(port=port, **client) as redis:
        while True:
            try:
                redis.ping()
                return
            except NotYet:
                assert time.monotonic() < deadline, "redis-server did not start"
