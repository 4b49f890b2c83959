"""The blob service of the workspace's own storage account, as far as the SDKs use it, reached by SAS alone.

REST API of Azure Blob Storage, version 2021-08-06. The account stands in the path, as on other loopback services:
azureml-mlflow downloads silently nothing unless "https://ANYTHING.blob.SUFFIX/" is in the URL.
"""

import base64
import hashlib
import json
import re
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.blob_store import HOST, VERSION, BlobRefused, Blobs
from ml_platform_tests.emulators.recording import KnownRoute


def blob_routes(blobs: Blobs) -> list[KnownRoute]:
    """The container's listing and a blob's PUT, GET and HEAD."""
    one = f"/{HOST}/{{container}}/{{blob:path}}"

    async def blob(request: Request) -> Response:
        container, name = request.path_params["container"], request.path_params["blob"]
        try:
            return (
                await _put(blobs, request, container, name)
                if request.method == "PUT"
                else _get(blobs, request, container, name)
            )
        except BlobRefused as refused:
            return _refuse(refused)

    async def listing(request: Request) -> Response:
        container = request.path_params["container"]
        try:
            blobs.allow(request, container, "l")
        except BlobRefused as refused:
            return _refuse(refused)
        return _list(blobs, container, request.query_params.get("prefix", ""))

    return [
        KnownRoute(f"/{HOST}/{{container}}", listing),
        KnownRoute(one, blob, methods=["GET", "HEAD", "PUT"]),
    ]


async def _put(blobs: Blobs, request: Request, container: str, name: str) -> Response:
    blobs.allow(request, container, "cw")
    path, body, component = blobs.path(container, name), await request.body(), request.query_params.get("comp", "")
    if not (blobs.folder / container).is_dir():
        raise BlobRefused(404, "ContainerNotFound")
    if component == "metadata":
        _metadata_path(blobs, container, name).write_text(json.dumps(_metadata(request)))
        return _answer(path, 200)
    if component == "block":
        _block(blobs, container, name, request.query_params["blockid"]).write_bytes(body)
        return Response(status_code=201, headers=_headers())
    if request.headers.get("if-none-match") == "*" and path.exists():
        raise BlobRefused(409, "BlobAlreadyExists")
    digest = request.headers.get("content-md5")
    if digest and digest != base64.b64encode(hashlib.md5(body).digest()).decode():
        raise BlobRefused(400, "Md5Mismatch")
    path.parent.mkdir(parents=True, exist_ok=True)
    if component == "blocklist":
        ids = re.findall(rb"<(?:Latest|Uncommitted|Committed)>([^<]+)<", body)
        body = b"".join(_block(blobs, container, name, each.decode()).read_bytes() for each in ids)
    path.write_bytes(body)
    _metadata_path(blobs, container, name).write_text(json.dumps(_metadata(request)))
    return _answer(path, 201)


def _get(blobs: Blobs, request: Request, container: str, name: str) -> Response:
    blobs.allow(request, container, "r")
    path = blobs.path(container, name)
    if not path.is_file():
        raise BlobRefused(404, "BlobNotFound")
    metadata = _metadata_path(blobs, container, name)
    extra = (
        {f"x-ms-meta-{key}": value for key, value in json.loads(metadata.read_text()).items()}
        if metadata.exists()
        else {}
    )
    content = path.read_bytes()
    if request.method == "HEAD":
        return _answer(path, 200, {**extra, "Content-Length": str(len(content))})
    asked = re.match(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range", request.headers.get("range", "")))
    if not asked:
        return _answer(path, 200, extra, content)
    first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
    if first >= len(content):
        raise BlobRefused(416, "InvalidRange")
    extra["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return _answer(path, 206, extra, content[first : last + 1])


def _list(blobs: Blobs, container: str, prefix: str) -> Response:
    found = []
    for name in blobs.names(container, prefix):
        size = blobs.path(container, name).stat().st_size
        properties = f"<Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType>"
        found.append(f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties></Blob>")
    body = f"<EnumerationResults><Prefix>{escape(prefix)}</Prefix><Blobs>{''.join(found)}</Blobs><NextMarker/>"
    return Response(f"<?xml version='1.0' encoding='utf-8'?>{body}</EnumerationResults>", media_type="application/xml")


def _metadata(request: Request) -> dict[str, str]:
    prefix = "x-ms-meta-"
    return {key.removeprefix(prefix): value for key, value in request.headers.items() if key.startswith(prefix)}


def _metadata_path(blobs: Blobs, container: str, name: str) -> Path:
    folder = blobs.folder / ".metadata" / container
    folder.mkdir(parents=True, exist_ok=True)
    return folder / hashlib.sha256(name.encode()).hexdigest()


def _block(blobs: Blobs, container: str, name: str, block: str) -> Path:
    folder = blobs.folder / ".blocks" / container / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / hashlib.sha256(block.encode()).hexdigest()


def _headers() -> dict[str, str]:
    return {"x-ms-version": VERSION, "x-ms-request-id": "0", "Date": formatdate(usegmt=True)}


def _answer(path: Path, status: int, extra: dict[str, str] | None = None, content: bytes = b"") -> Response:
    modified = path.stat().st_mtime
    headers = {
        "ETag": f'"{modified}"',
        "Last-Modified": formatdate(modified, usegmt=True),
        "x-ms-blob-type": "BlockBlob",
    }
    return Response(content, status, {**_headers(), **headers, **(extra or {})}, "application/octet-stream")


def _refuse(refused: BlobRefused) -> Response:
    body = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code><Message>{refused.code}</Message></Error>"
    headers = _headers() | {"x-ms-error-code": refused.code}
    return Response(body, refused.status, headers, "application/xml")
