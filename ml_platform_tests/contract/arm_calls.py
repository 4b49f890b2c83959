"""Raw calls to the emulated Resource Manager, for what no SDK would send."""

from typing import Any

import httpx

from ml_platform_tests.emulators.arm.state import Workspace
from ml_platform_tests.emulators.identity import Identity
from ml_platform_tests.emulators.process import Emulator

PLACE = Workspace()


def token(arm: Emulator, audience: str = "https://management.azure.com", seconds: int = 600, key: str = "") -> str:
    return Identity(arm.cloud.secret, key or arm.cloud.key).issue(audience, seconds)[0]


def ask(
    arm: Emulator,
    method: str,
    path: str,
    body: Any = None,
    bearer: str = "",
    version: str = "2023-08-01-preview",
) -> httpx.Response:
    return httpx.request(
        method,
        f"{arm.address}{PLACE.id}{path}",
        params={"api-version": version} if version else {},
        json=body,
        headers={"Authorization": f"Bearer {bearer or token(arm)}"},
        verify=arm.cloud.trust,
    )
