"""Has every call of a flow fail once with a fault, where its service knows that fault."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ml_platform_tests.emulators.process import Emulator

ABOUT_THE_CLOUD = "/metadata/endpoints"
"""Azure ML's SDK asks it while it is imported, once and only outside the public clouds, whose answers it holds."""
LOGIN = ("/msi/", "/oidc/")
BLOBS = ("/stworkspace.", "/{path:path}")
DATA_PLANE = ("/api/2.0/mlflow/", "/experiments/")
NOT_KNOWN = {
    # Nothing is asked for with a token there, or a token that is refused before its end (continuous access evaluation)
    # is none of the service's answers: that is Resource Manager's and Databricks' alone.
    "expired": (*LOGIN, *BLOBS, *DATA_PLANE),
    # Storage says 503, which is `unavailable` (https://learn.microsoft.com/azure/storage/blobs/scalability-targets).
    "throttle": BLOBS,
}


def golden(flow: str) -> Path:
    """The list of the calls that a flow makes."""
    return Path(__file__).parent / "golden" / f"{flow}.txt"


def fail_each_once(emulators: Mapping[str, Emulator], flow: str, kind: str) -> int:
    """Switch the faults on, for those of the emulators that are there; how many."""
    # A call of two API versions is one: it would fail twice in a row.
    asked = [call for call in dict.fromkeys(_failing(flow, kind)) if call[0] in emulators]
    for name, method, template in asked:
        emulators[name].fault(kind, method, _pattern(template), seconds=1)
    return len(asked)


def _failing(flow: str, kind: str) -> Iterator[tuple[str, str, str]]:
    for line in golden(flow).read_text().splitlines():
        name, method, template, *_ = line.split()
        if template != ABOUT_THE_CLOUD and not any(part in template for part in NOT_KNOWN.get(kind, ())):
            yield name, method, template


def _pattern(template: str) -> str:
    """What matches the paths of a template."""
    pieces = re.split(r"(\{\w+(?::path)?\})", template)
    patterns = (".*" if ":path}" in piece else "[^/]+" if piece[:1] == "{" else re.escape(piece) for piece in pieces)
    return "".join(patterns) + "$"
