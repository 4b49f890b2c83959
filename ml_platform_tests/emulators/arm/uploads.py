"""startPendingUpload: where the SDK writes the files of a new code, model or data version before it registers it."""

import uuid

from starlette.requests import Request
from starlette.responses import Response

from ml_platform_tests.emulators.arm.resources import action_answer, action_body, arm_of, route
from ml_platform_tests.emulators.recording import KnownRoute

KINDS = ("codes", "models", "data")


def upload_routes() -> list[KnownRoute]:
    return [route(f"/{kind}/{{name}}/versions/{{version}}/startPendingUpload", start, "POST") for kind in KINDS]


async def start(request: Request) -> Response:
    """A container of its own for each upload, with a SAS to write into it."""
    arm, kind = arm_of(request), request.url.path.rsplit("/", 5)[1]
    await action_body(request, f"{kind}/versions", "startPendingUpload")
    container = f"{uuid.uuid4()}"
    url = arm.blobs.container(container)
    credential = {"credentialType": "SAS", "sasUri": f"{url}?{arm.blobs.sas(container, 'rcwl')}"}
    body = {
        "pendingUploadId": str(uuid.uuid4()),
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": url,
            "storageAccountArmId": arm.store.get("", ()).properties["storageAccount"],
            "credential": credential,
        },
    }
    return action_answer(request, f"{kind}/versions", "startPendingUpload", body)
