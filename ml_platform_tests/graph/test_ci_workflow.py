"""The workflow calls only what is there, with the least rights and pinned actions."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ml_platform.settings import PROJECT_ROOT

WORKFLOW = PROJECT_ROOT / ".github" / "workflows" / "ci.yaml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(workflow: dict[Any, Any]) -> list[str]:
    return [step["run"].strip() for step in steps(workflow) if "run" in step]


def test_every_change_is_tested_and_checked_and_its_assets_are_shown(workflow):
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"pull_request", "push"}
    script = '.ci/asset-changes "$BASE" | tee -a "$GITHUB_STEP_SUMMARY"'
    tests = ["make check", "make test", "make test-azure", "make test-cloud", "make test-loop", "make check-assets"]
    assert commands(workflow) == [*tests, script]


def test_each_command_of_the_workflow_exists(workflow):
    for command in commands(workflow):
        program, argument = command.split()[:2]
        if program == "make":
            # `make -n` succeeds for whatever is called .PHONY, with a recipe or without.
            assert re.search(rf"^{argument}:.*\n\t", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE), command
        else:
            assert (PROJECT_ROOT / program).stat().st_mode & 0o111, f"{program} cannot be run"


def test_the_junit_file_that_is_kept_is_the_one_that_is_written(workflow):
    kept = next(step["with"]["path"] for step in steps(workflow) if "upload-artifact" in step.get("uses", ""))
    recipe = (PROJECT_ROOT / "Makefile").read_text()
    assert f"check-assets --junit {kept}\n" in recipe


def test_the_workflow_may_only_read_and_runs_pinned_actions(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
        # What an outsider may write (a title, a branch's name) never becomes part of a script.
        assert "${{" not in step.get("run", "")


def test_the_python_of_the_workflow_is_the_projects(workflow):
    versions = {step["with"]["python-version"] for step in steps(workflow) if "setup-python" in step.get("uses", "")}
    assert versions == {"3.11"}
    assert 'requires-python = ">=3.11,<3.12"' in (PROJECT_ROOT / "pyproject.toml").read_text()
