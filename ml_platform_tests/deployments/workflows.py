"""The workflows of GitHub: the published schema, zizmor's audits, and what this project asks for besides."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

TOOLS = Path(sys.executable).parent
PINNED = re.compile(r"^(?:\./.*|[^@]+@[0-9a-f]{40})$")
STORED = re.compile(r"\$\{\{\s*secrets\.(\w+)")


def problems(workflows: Path) -> Iterator[str]:
    """What is wrong with the workflows of a folder."""
    files = sorted(workflows.glob("*.yaml"))
    for path in files:
        yield from (f"{path.name}: {problem}" for problem in _rules(path.read_text()))
    yield from _schema(files)
    yield from _audits(files)


def _rules(text: str) -> Iterator[str]:
    for secret in STORED.findall(text):
        yield f"a secret is stored, {secret}: sign in with OIDC instead"
    for name, job in (yaml.safe_load(text).get("jobs") or {}).items():
        for step in job.get("steps", []):
            if "uses" in step and not PINNED.match(step["uses"]):
                yield f"{name}: {step['uses']} is not pinned by a commit"


def _schema(files: list[Path]) -> Iterator[str]:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", "--output-format", "json"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    for error in found.get("errors", []):
        yield f"{Path(error['filename']).name}: {error['path']}: {error['message'][:200]}"
    for error in found.get("parse_errors", []):
        yield f"{Path(error['filename']).name}: {error['message']}"


def _audits(files: list[Path]) -> Iterator[str]:
    command = [
        TOOLS / "zizmor",
        "--offline",
        "--no-config",
        "--format=json-v1",
        "--min-severity=medium",
        "--no-exit-codes",
    ]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stderr.strip()[-500:]
        return
    for finding in json.loads(done.stdout):
        place = finding["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"]
        yield f"{Path(place).name}: {finding['desc']} ({finding['ident']})"
