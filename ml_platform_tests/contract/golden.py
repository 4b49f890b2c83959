"""The calls that a flow makes to a service, as a list under version control: an SDK upgrade shows as a diff."""

from itertools import groupby
from pathlib import Path

import pytest

from ml_platform_tests.emulators.process import Emulator
from ml_platform_tests.emulators.recording import template_calls

FOLDER = Path(__file__).parent / "golden"
QUIET = ("GET /metadata/endpoints", "GET /msi/")
"""Made whenever a client is built: how often says nothing about a flow."""


def assert_calls(emulator: Emulator, flow: str, request: pytest.FixtureRequest) -> None:
    """Compare the calls recorded since the last clearing with `golden/FLOW.txt`; `--write-golden` writes it instead."""
    told = [each for each in template_calls(emulator.record()) if not each.startswith(QUIET)]
    # A poll before and after a token was asked for is still one poll.
    calls = [each for each, _ in groupby(told)]
    file = FOLDER / f"{flow}.txt"
    if request.config.getoption("--write-golden"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text("\n".join(calls) + "\n")
    assert calls == file.read_text().splitlines(), f"the calls of {flow} changed: look, then run with --write-golden"
