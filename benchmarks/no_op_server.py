"""The scoring server's own stack around a handler that does nothing.

python -m benchmarks.no_op_server PORT WORKERS app|taskless
"""

import sys
from typing import Any

import uvicorn

from ml_platform.scoring.listener import ADDRESS
from ml_platform.scoring.protocol import Answer, Reply, Whole
from ml_platform.scoring.worker import STACK

ANSWER = (
    b'{"predictions":[{"id":"0123456789abcdef0123456789abcdef-12345_0","probability":0.1234567}],'
    b'"model":{"name":"flight_delays","version":"1"}}'
)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(ANSWER)),
    (b"x-request-id", b"0123456789abcdef0123456789abcdef-12345"),
    (b"azureml-model-deployment", b"blue"),
]
"""As long as the scoring server's: what is compared is the work, not the bytes."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read what is sent and answer a constant."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": ANSWER})


class Taskless:
    """The same without a task for a request that has come whole, as the scoring server answers most of them."""

    __call__ = staticmethod(app)

    def answer_whole(self, _whole: Whole, reply: Reply) -> bool:
        """Answer a constant."""
        reply(Answer(200, HEADERS, ANSWER))
        return True


taskless = Taskless()

if __name__ == "__main__":
    uvicorn.run(
        # By its name: other workers must import it.
        f"benchmarks.no_op_server:{sys.argv[3]}",
        host=ADDRESS,
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        lifespan="off",
        **STACK,
    )
