"""The Dockerfiles: hadolint, and what it does not ask for: pinned bases, another user than root, no secret."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HADOLINT = Path(sys.executable).with_name("hadolint")
FROM = re.compile(r"^FROM\s+(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
SECRET = re.compile(r"^(?:ARG|ENV)\b.*(?:password|secret|token|_key|apikey)", re.IGNORECASE)


def problems(deployments: Path) -> Iterator[str]:
    """What is wrong with azure/images."""
    files = sorted((deployments / "azure" / "images").glob("*.Dockerfile"))
    for path in files:
        for problem in _rules(path.read_text().splitlines()):
            yield f"{path.relative_to(deployments)}: {problem}"
    done = subprocess.run([HADOLINT, "--format", "json", *files], capture_output=True, text=True, check=False)
    for finding in json.loads(done.stdout):
        file = Path(finding["file"]).relative_to(deployments)
        yield f"{file}: line {finding['line']}: {finding['message']} ({finding['code']})"


def _rules(lines: list[str]) -> Iterator[str]:
    stages: set[str] = set()
    user = ""
    for number, line in enumerate(lines, start=1):
        if found := FROM.match(line):
            if found["image"] not in stages and "@sha256:" not in found["image"]:
                yield f"line {number}: {found['image']} is not pinned by its digest"
            stages.add(found["name"] or "")
            # Inherited or not, each image says itself as whom it runs.
            user = ""
        if line.startswith("USER "):
            user = line.split()[1]
        yield from (f"line {number}: {problem}" for problem in _line(line))
    if user in ("", "0", "root"):
        yield "the image runs as root: end with USER and a number"


def _line(line: str) -> Iterator[str]:
    if line.startswith("ADD "):
        yield "ADD unpacks and downloads; COPY what is meant"
    if SECRET.match(line):
        yield "a secret would stay in the image"
    if "pip install" in line and "--constraint constraints.txt" not in line:
        yield "pip installs other versions than were tested: --constraint constraints.txt"
