"""The shell script that deploys: shellcheck."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def problems(deployments: Path) -> Iterator[str]:
    """What is wrong with azure/deploy."""
    path = deployments / "azure" / "deploy"
    done = subprocess.run([SHELLCHECK, "--format=json", path], capture_output=True, text=True, check=False)
    for finding in json.loads(done.stdout):
        yield f"azure/deploy: line {finding['line']}: {finding['message']} (SC{finding['code']})"
