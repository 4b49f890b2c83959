"""Starts the emulated workspace: `python -m ml_platform_tests.emulators.databricks VOLUME CLIENT_ID [FOLDER...]`.

The volume `/Volumes/<catalog>/<schema>/<volume>` is there from the start; folders are where tasks find more packages.
"""

import sys
from pathlib import Path

from ml_platform_tests.emulators.databricks.app import Workspace, build, fault_answer
from ml_platform_tests.emulators.databricks.compute import Compute
from ml_platform_tests.emulators.databricks.submission import Published
from ml_platform_tests.emulators.databricks.task import forbid
from ml_platform_tests.emulators.faults import Faults
from ml_platform_tests.emulators.listening import Listening, address, serve, socket_at, wrapped
from ml_platform_tests.emulators.recording import Record
from ml_platform_tests.emulators.specs import specs_folder


def main(volume: str, client_id: str, *packages: str) -> None:
    forbid("dbx_jobs")  # Spark's workers are here: on Databricks they need not have what a task has installed
    told, bound, record = Listening.read(), socket_at(), Record()
    specs = specs_folder()
    if specs is None:
        print("ML_PLATFORM_SPECS is not set: bodies are not held against the published schema", file=sys.stderr)
    compute = Compute(told.folder, Path(volume), [str(Path(each).resolve()) for each in packages], record)
    here = address(bound, told.certificate)
    workspace = Workspace(here, client_id, told.identity, record, Published(specs), compute, {})
    serve(wrapped(build(workspace), record, Faults(), fault_answer), told.certificate, bound)


main(*sys.argv[1:])
