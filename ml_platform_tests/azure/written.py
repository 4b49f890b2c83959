"""Everything that a deployment in the loopback cloud has written, wherever that is, to be searched for secrets."""

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import psycopg2
from redis import Redis

from ml_platform_tests.azure.deployment import Deployment

OWN = ("redis/redis.conf", "server.pem")
"""Where the loopback's own servers are told their secrets."""

TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}")
"""A token of Entra or of Databricks."""


def written(cloud: Deployment) -> Iterator[tuple[str, bytes]]:
    """Each place and its content: files of all processes, blobs, rows of PostgreSQL, values of Redis."""
    folder = cloud.arm.cloud.folder
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink() and name not in OWN:
            yield name, path.read_bytes()
    yield from _blobs(cloud)
    yield from _rows(cloud)
    yield from _values(cloud)


def found(places: Iterable[tuple[str, bytes]], secrets: Mapping[str, str]) -> list[str]:
    """Which secret stands where, in any of its forms; tokens too."""
    forms = {name: _forms(secret) for name, secret in secrets.items()}
    told = []
    for place, content in places:
        told += [f"{name} in {place}" for name, each in forms.items() if any(form in content for form in each)]
        told += [f"a token in {place}"] if TOKEN.search(content) else []
    return told


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    return {plain, quote(secret, safe="").encode(), base64.b64encode(plain), base64.b64encode(b":" + plain)}


def _blobs(cloud: Deployment) -> Iterator[tuple[str, bytes]]:
    from azure.storage.blob import BlobServiceClient

    storage = cloud.storage.azurite
    ca = str(storage.cloud.ca)
    with BlobServiceClient(storage.endpoint, credential=storage.key, connection_verify=ca) as account:
        for container in account.list_containers():
            with account.get_container_client(str(container.name)) as client:
                for name in client.list_blob_names():
                    yield f"{container.name}/{name}", client.download_blob(name).readall()


def _rows(cloud: Deployment) -> Iterator[tuple[str, bytes]]:
    server = cloud.postgres
    place: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "user": server.user, "dbname": server.database}
    login: dict[str, Any] = {"password": server.password, "sslmode": "require"}
    with psycopg2.connect(**place, **login) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            rows = io.BytesIO()
            cursor.copy_expert(f'COPY "{table}" TO STDOUT', rows)
            yield f"PostgreSQL {table}", rows.getvalue()


def _values(cloud: Deployment) -> Iterator[tuple[str, bytes]]:
    with Redis.from_url(cloud.redis.plain_uri, password=cloud.redis.password) as store:
        for key in store.scan_iter():
            yield f"Redis {key}", repr(store.hgetall(key)).encode()
