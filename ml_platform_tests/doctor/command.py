"""Runs `ml-platform doctor` as a person does, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.emulators.entering import foreign

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["format", "ok", "checks"],
    "properties": {
        "format": {"const": 1},
        "ok": {"type": "boolean"},
        "checks": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "status", "seen", "reason", "remedy", "seconds"],
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-z][a-z ]*$"},
                    "status": {"enum": ["ok", "failed", "skipped"]},
                    "seen": {
                        "type": "object",
                        "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]*$"},
                        "additionalProperties": {"type": ["string", "number", "boolean"]},
                    },
                    "reason": {"type": ["string", "null"]},
                    "remedy": {"type": ["string", "null"]},
                    "seconds": {"type": "number", "minimum": 0},
                },
                "allOf": [
                    {
                        "if": {"properties": {"status": {"const": "failed"}}},
                        "then": {
                            "properties": {
                                "reason": {"type": "string", "minLength": 1},
                                "remedy": {"type": "string", "minLength": 1},
                            }
                        },
                        "else": {"properties": {"remedy": {"type": "null"}}},
                    },
                    {
                        "if": {"properties": {"status": {"const": "skipped"}}},
                        "then": {"properties": {"reason": {"type": "string", "minLength": 1}}},
                    },
                ],
            },
        },
    },
}
"""Of the document that `ml-platform doctor --json` writes: others read it, so it changes only with its `format`."""


@dataclass(frozen=True)
class Told:
    """What a doctor said and with which code it ended."""

    code: int
    out: str
    err: str

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """By name, of a document that fits SCHEMA."""
        document = json.loads(self.out)
        jsonschema.validate(document, SCHEMA)
        assert document["ok"] is (self.code == 0)
        return {check["name"]: check for check in document["checks"]}

    def named(self, status: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["status"] == status}


def doctor(variables: Mapping[str, str], *arguments: str) -> Told:
    """Run it with these variables beside this process's, less what the libraries would take for credentials."""
    kept = {name: value for name, value in os.environ.items() if name not in foreign()}
    command = [sys.executable, "-m", "ml_platform.cli", "doctor", *arguments]
    done = subprocess.run(
        command, env={**kept, **variables}, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=240
    )
    return Told(done.returncode, done.stdout, done.stderr)
