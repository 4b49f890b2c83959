"""Starts the emulated Resource Manager: `python -m ml_platform_tests.emulators.arm`, told the rest by environment."""

import os
import sys

from ml_platform_tests.emulators.arm.app import build
from ml_platform_tests.emulators.arm.blob_store import Blobs
from ml_platform_tests.emulators.arm.mlflow_server import MlflowServer
from ml_platform_tests.emulators.arm.programs import Programs
from ml_platform_tests.emulators.arm.published import Published
from ml_platform_tests.emulators.arm.state import Arm, Workspace
from ml_platform_tests.emulators.faults import Faults
from ml_platform_tests.emulators.listening import Listening, address, serve, socket_at, wrapped
from ml_platform_tests.emulators.recording import Record
from ml_platform_tests.emulators.specs import specs_folder


def main() -> None:
    told, main, plain = Listening.read(), socket_at(), socket_at()
    specs = specs_folder()
    if specs is None:
        print("ML_PLATFORM_SPECS is not set: bodies are not held against published types", file=sys.stderr)
    here = address(main, told.certificate)
    programs, blobs = Programs(), Blobs(told.folder / "blobs", here, told.identity.key)
    arm = Arm(
        folder=told.folder,
        address=here,
        workspace=Workspace(account=os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", Workspace.account)),
        identity=told.identity,
        record=Record(),
        published=Published(specs),
        programs=programs,
        blobs=blobs,
        mlflow=MlflowServer(told.folder / "mlflow", programs),
        plain_address=address(plain),
    )
    serve(wrapped(build(arm), arm.record, Faults()), told.certificate, main, plain)


main()
