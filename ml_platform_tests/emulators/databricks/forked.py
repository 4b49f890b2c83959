"""Forks a process for each task from one that has a runtime's libraries imported, as a warm machine has.

Standard input brings a task a line, {"id", "arguments", "folder", "log", "environment", "secrets"}; standard output
tells {"id", "process"} and later {"id", "code"}. It ends, and its tasks with it, when the input does.
"""

import atexit
import json
import os
import select
import signal
import sys
import threading
from typing import Any

import task  # pyright: ignore[reportMissingImports]


def serve() -> None:
    """Fork until the input ends."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    unread = b""
    while True:
        ready = select.select([0, awake], [], [])[0]
        if awake in ready:
            os.read(awake, 1 << 12)
            _tell_ended(children)
        if 0 in ready:
            if not (read := os.read(0, 1 << 16)):
                return
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                _start(json.loads(line), children)


def _start(asked: dict[str, Any], children: dict[int, int]) -> None:
    process = os.fork()
    if not process:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become(asked)
    children[process] = asked["id"]
    _tell(id=asked["id"], process=process)


def _become(asked: dict[str, Any]) -> None:
    """Be the process of a task, as if it had been started with that environment."""
    os.setsid()
    for path, flags, number in ((os.devnull, os.O_RDONLY, 0), (asked["log"], os.O_WRONLY | os.O_APPEND, 1)):
        os.dup2(os.open(path, flags), number)
    os.dup2(1, 2)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    code: Any = 1
    try:
        code = task.main(asked["secrets"], *asked["arguments"])
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        # What the end of an interpreter does.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _tell_ended(children: dict[int, int]) -> None:
    for process in list(children):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            _tell(id=children.pop(process), code=os.waitstatus_to_exitcode(status))


def _tell(**said: Any) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def main() -> None:
    """Import what a runtime has, and serve."""
    sys.path.pop(0)  # the folder of this file
    task.forbid(*task.ABSENT)
    import great_expectations  # noqa: F401
    import pandas  # noqa: F401
    import pyspark.sql.connect.session  # noqa: F401

    serve()


if __name__ == "__main__":
    main()
