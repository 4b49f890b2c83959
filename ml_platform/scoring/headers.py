"""The headers of the scoring contract: request ids, echoed as azmlinfsrv does, the clock and the probe's mark."""

import itertools
import uuid

from starlette.types import Message, Send

from ml_platform.scoring.refusal import Refusal

CLOCK_HEADER = "x-ml-platform-time"
"""RFC 3339: the time of the request in a replay; refused unless the endpoint declares `replay_clock`."""
PROBE_HEADER = "x-ml-platform-probe"
"""With any value: score, but keep the request out of the inference log and the measures."""
DEPLOYMENT_HEADER = "azureml-model-deployment"
"""Pins a request to a deployment, whatever its share; on an answer, the deployment that gave it."""
REQUEST_ID = b"x-request-id"
CLIENT_REQUEST_ID = b"x-ms-client-request-id"
ECHOED = (REQUEST_ID, CLIENT_REQUEST_ID)
MAX_LENGTH = 100

_process = uuid.uuid4().hex.encode()
_made = itertools.count()

Headers = list[tuple[bytes, bytes]]


def request_ids(headers: dict[bytes, bytes]) -> Headers:
    """The ids that an answer carries, `x-request-id` first, made up where none is given.

    Raises Refusal 431 for an id of more than MAX_LENGTH characters.
    """
    if REQUEST_ID not in headers and CLIENT_REQUEST_ID not in headers:
        return [(REQUEST_ID, _new_id())]
    given = [(name, value) for name in ECHOED if (value := headers.get(name))]
    for name, value in given:
        if len(value) > MAX_LENGTH:
            raise Refusal(431, f"{name.decode()} is longer than {MAX_LENGTH} characters")
    return given if given and given[0][0] == REQUEST_ID else [(REQUEST_ID, _new_id()), *given]


def _new_id() -> bytes:
    # Not a uuid4 each: its randomness comes from the kernel, which takes as long as the model.
    return b"%s-%d" % (_process, next(_made))


def sender_with(send: Send, headers: Headers) -> Send:
    """`send`, with `headers` added to the answer."""

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_with
