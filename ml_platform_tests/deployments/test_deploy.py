"""The command that deploys; in place of the clients of Azure, Docker and Kubernetes are ones that write calls down."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ml_platform.settings import PROJECT_ROOT
from ml_platform_tests.deployments import bicep
from ml_platform_tests.deployments.yaml_files import VARIABLE

CLIENTS = ("az", "docker", "databricks", "helm", "kubectl", "kubelogin")
# Says what it was called with, and what it read; az answers as Azure does.
CLIENT = """#!/bin/bash
read=''
[[ " $* " == *" --filename - "* ]] && read=$(cat)
for each in "$@"; do [[ -f $each && $each == /tmp/* ]] && read+=$(cat "$each"); done
call='{program: $program, arguments: $ARGS.positional, read: $read}'
jq -cn --arg program "${0##*/}" --arg read "$read" --args "$call" -- "$@" >>"$CALLS"
[[ ${0##*/} == az && $1 == deployment ]] && cat "$OUTPUTS"
[[ ${0##*/} == az && $1 == keyvault ]] && echo found
exit 0
"""


@pytest.fixture
def deployed(tmp_path):
    if not (shutil.which("jq") and shutil.which("envsubst")):
        pytest.skip("jq and envsubst are not there")
    main = bicep.read(PROJECT_ROOT / "deployments" / "azure" / "bicep" / "main.bicep")
    outputs = {
        name: {"value": {key: f"value-of-{key.lower()}" for key in main.outputs[name]}}
        for name in ("settings", "names")
    }
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    for client in CLIENTS:
        (tmp_path / client).write_text(CLIENT)
        (tmp_path / client).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "OUTPUTS": str(tmp_path / "outputs.json"),
        "RESOURCE_GROUP": "rg",
        "IMAGE_TAG": "abc123",
        "ENVIRONMENT_VERSION": "7",
    }
    program = PROJECT_ROOT / "deployments" / "azure" / "deploy"
    done = subprocess.run([program, "dev"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def said(calls: list[dict]) -> list[str]:
    return [" ".join([Path(call["program"]).name, *call["arguments"]]) for call in calls]


def test_the_parts_are_deployed_each_after_what_it_needs(deployed):
    calls = said(deployed)
    parts = ["az deployment group create", "docker build", "docker push", "databricks bundle deploy --target dev"]
    parts += ["az ml environment create", "az aks get-credentials", "helm upgrade dagster", "kubectl rollout status"]
    first = [next(i for i, call in enumerate(calls) if call.startswith(part)) for part in parts]
    assert first == sorted(first)


def test_every_variable_is_filled_before_it_goes_out(deployed):
    sent = [call["read"] for call in deployed if call["read"]]
    assert len(sent) >= 8
    assert not [VARIABLE.findall(text) for text in sent if VARIABLE.search(text)]


def test_the_settings_that_bicep_hands_out_become_the_config_map(deployed):
    made = next(call for call in deployed if call["arguments"][:2] == ["create", "configmap"])
    assert "ML_PLATFORM_LAKE_URI=value-of-ml_platform_lake_uri\n" in made["read"] + "\n"


def test_no_call_carries_a_secret_on_its_command_line(deployed):
    assert not [call for call in said(deployed) if "alert-urls found" in call or "ALERT_URLS" in call]
