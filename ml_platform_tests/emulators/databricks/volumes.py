"""Unity Catalog volumes through the Files API 2.0."""

import fcntl
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from ml_platform_tests.emulators.databricks.app import Refused, route, workspace_of

MOST_ENTRIES = 1000
FILES, DIRECTORIES = "/api/2.0/fs/files{path:path}", "/api/2.0/fs/directories{path:path}"


def volume_routes() -> list[BaseRoute]:
    """The routes of files and directories."""
    return [
        route(DIRECTORIES, _make_directory, "PUT"),
        route(DIRECTORIES, _list_directory),
        route(DIRECTORIES, _delete_directory, "DELETE"),
        route(FILES, _write, "PUT"),
        route(FILES, _read),  # HEAD as well
        route(FILES, _delete, "DELETE"),
    ]


def _path(request: Request) -> Path:
    """The path asked for, in a volume that is there."""
    path, volume = Path(request.path_params["path"]), workspace_of(request).compute.volume
    if ".." in path.parts or not path.is_relative_to(volume):
        name = ".".join(path.parts[2:5])
        raise Refused(404, "NOT_FOUND", f"Volume '{name}' does not exist.")
    return path


def _found(path: Path, is_folder: bool) -> Path:
    if not (path.is_dir() if is_folder else path.is_file()):
        kind = "directory" if is_folder else "file"
        raise Refused(404, "NOT_FOUND", f"The {kind} being accessed is not found: {path}")
    return path


async def _make_directory(request: Request) -> Response:
    path = _path(request)
    if path.is_file():
        raise Refused(409, "ALREADY_EXISTS", f"A file exists at {path}")
    path.mkdir(parents=True, exist_ok=True)
    return Response(status_code=204)


async def _list_directory(request: Request) -> Response:
    path = _found(_path(request), is_folder=True)
    first = int(request.query_params.get("page_token", 0))
    last = first + min(int(request.query_params.get("page_size", MOST_ENTRIES)), MOST_ENTRIES)
    names = sorted(path.iterdir())
    answer: dict[str, Any] = {"contents": [_entry(each) for each in names[first:last]]}
    return JSONResponse(answer | ({"next_page_token": str(last)} if last < len(names) else {}))


def _entry(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": str(path), "name": path.name, "is_directory": path.is_dir()}
    if path.is_file():
        stat = path.stat()
        entry |= {"file_size": stat.st_size, "last_modified": int(stat.st_mtime * 1000)}
    return entry


async def _delete_directory(request: Request) -> Response:
    path = _found(_path(request), is_folder=True)
    if any(path.iterdir()):
        raise Refused(400, "DIRECTORY_NOT_EMPTY", f"The directory {path} is not empty")
    path.rmdir()
    return Response(status_code=204)


async def _write(request: Request) -> Response:
    path = _path(request)
    _found(path.parent, is_folder=True)
    if path.exists() and request.query_params.get("overwrite") != "true":
        raise Refused(409, "ALREADY_EXISTS", f"The file {path} exists")
    content = await request.body()
    # A file is there with all of its content, or not at all.
    written = workspace_of(request).compute.folder / f"upload-{uuid4().hex}"
    written.write_bytes(content)
    written.replace(path)
    return Response(status_code=204)


async def _read(request: Request) -> Response:
    path = _found(_path(request), is_folder=False)
    if _is_being_written(path):
        raise Refused(404, "NOT_FOUND", f"The file being accessed is not found: {path}")
    content = b"" if request.method == "HEAD" else path.read_bytes()
    headers = {"content-length": str(path.stat().st_size)} if request.method == "HEAD" else {}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _is_being_written(path: Path) -> bool:
    """Whether a task has the file open: on Databricks it is stored once it is closed."""
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


async def _delete(request: Request) -> Response:
    _found(_path(request), is_folder=False).unlink()
    return Response(status_code=204)
