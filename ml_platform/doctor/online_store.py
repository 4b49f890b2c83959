"""The online store: a folder of SQLite files, or a Redis with TLS and a password."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from dbx_jobs.online_contract import PASSWORD_VARIABLE
from dbx_jobs.redis_login import login_of
from ml_platform.doctor.check import CheckFailed, Seen
from ml_platform.errors import PlatformError
from ml_platform.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

SECONDS = 5
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def look_at_store(settings: Settings) -> Seen:
    """The store of this deployment."""
    uri = settings.online_store_uri
    kind = urlsplit(uri).scheme
    if kind == "file":
        return look_at_files(Path(unquote(urlsplit(uri).path)))
    if kind in ("redis", "rediss"):
        return look_at_redis(settings)
    raise CheckFailed(
        f"{uri} is no online store", "Set ML_PLATFORM_ONLINE_STORE_URI to file:///FOLDER or rediss://HOST:PORT/0"
    )


def look_at_files(folder: Path) -> Seen:
    """Whether this process may write to the folder, or make it where it is not there yet."""
    import sqlite3

    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise CheckFailed(
            f"{there} is no folder that this process may write to",
            f"Let the user {os.getuid()} write to {there}, or name another folder in ML_PLATFORM_ONLINE_STORE_URI",
        )
    stores = sorted(path.stem for path in folder.glob("*.db")) if folder.exists() else []
    return {"folder": str(folder), "sqlite": sqlite3.sqlite_version, "stores": len(stores)}


def look_at_redis(settings: Settings) -> Seen:
    """PING, TLS, AUTH; write, read and remove a key; its version, and whether it forgets keys when it is full."""
    from redis import Redis
    from redis.exceptions import RedisError

    uri, password = settings.online_store_uri, settings.online_store_password
    place = f"{urlsplit(uri).hostname}:{urlsplit(uri).port or 6379}"
    if password and uri.startswith("redis://") and urlsplit(uri).hostname not in LOOPBACK:
        raise CheckFailed(
            f"the password would go to {place} without TLS",
            f"Write rediss:// instead of redis:// in ML_PLATFORM_ONLINE_STORE_URI, and let {place} take TLS",
        )
    login: dict[str, Any] = {}
    try:
        login = login_of(uri)
        with Redis.from_url(uri, **login, socket_timeout=SECONDS, socket_connect_timeout=SECONDS) as client:
            return _used(client) | {"redis_at": place, "tls": uri.startswith("rediss"), "login": _named(login)}
    except ImportError as error:
        raise CheckFailed(str(error), "Install what the message names, with pip install -c constraints.txt") from error
    except (OSError, RedisError) as error:
        raise _explained(error, place, uri.startswith("rediss")) from error
    except PlatformError:
        raise
    except Exception as error:  # of the library that gets tokens, which need not be installed
        raise CheckFailed(
            f"there is neither a password nor a token for Redis at {place}: {_first_line(error)}",
            f"Give this process an identity with an access policy of the Redis at {place}, or put its key into "
            f"{PASSWORD_VARIABLE}",
        ) from error


def _named(login: dict[str, Any]) -> str:
    return "identity" if "credential_provider" in login else "password" if login else "none"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _used(client: "Redis") -> Seen:
    from redis.exceptions import NoPermissionError

    client.ping()
    key = f"doctor:{uuid4().hex}"
    client.set(key, "ml-platform doctor", ex=60)
    unchanged = client.get(key) == b"ml-platform doctor"
    client.delete(key)
    if not unchanged:
        raise CheckFailed("Redis does not give back what was written", "Look at the proxy before it and its memory")
    try:
        told: Any = client.info()
    except NoPermissionError:
        return {"version": "may not be read"}
    if told.get("maxmemory_policy", "noeviction") != "noeviction":
        raise CheckFailed(
            f"its eviction policy is {told['maxmemory_policy']}: values would vanish one by one",
            "Set the eviction policy (maxmemory-policy) of this Redis to noeviction",
            version=str(told["redis_version"]),
        )
    return {"version": str(told["redis_version"]), "used_memory": str(told["used_memory_human"])}


def _speaks_without_tls(place: str) -> bool:
    """Such a Redis says nothing to the beginning of TLS, and answers a PING, if only to ask for a password."""
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), SECONDS) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _explained(error: Exception, place: str, tls: bool) -> CheckFailed:
    from redis.exceptions import AuthenticationError, NoPermissionError

    said = _first_line(error)
    why = f"Redis at {place}: {said}"
    if isinstance(error, NoPermissionError):
        return CheckFailed(
            why, f"Let this user of the Redis at {place} use PING, SET, GET, DEL, HSET, HMGET and RENAME"
        )
    if isinstance(error, AuthenticationError) or said.startswith(("NOAUTH", "WRONGPASS")):
        return CheckFailed(why, f"Put the key of the Redis at {place} into {PASSWORD_VARIABLE}")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return CheckFailed(why, f"Name the authority that certifies {place} in SSL_CERT_FILE")
    if tls and _speaks_without_tls(place):
        return CheckFailed(
            why,
            f"Switch TLS on for {place}, or correct its port in ML_PLATFORM_ONLINE_STORE_URI: this one has none",
        )
    if not tls and ("closed by server" in said or "reset by peer" in said):
        return CheckFailed(
            why, f"Write rediss:// instead of redis:// in ML_PLATFORM_ONLINE_STORE_URI: {place} seems to want TLS"
        )
    return CheckFailed(
        why, f"Start Redis at {place} or let this machine reach it, or correct ML_PLATFORM_ONLINE_STORE_URI"
    )
