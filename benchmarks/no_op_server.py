"""The scoring server's own stack around a handler that does nothing: python -m benchmarks.no_op_server PORT WORKERS."""

import sys
from typing import Any

import uvicorn

from ml_platform.scoring.listener import ADDRESS
from ml_platform.scoring.worker import STACK

ANSWER = b'{"predictions":[{"id":"0","probability":0.5}],"model":{"name":"none","version":"0"}}'


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read what is sent and answer a constant."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(
        # By its name: other workers must import it.
        "benchmarks.no_op_server:app",
        host=ADDRESS,
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        lifespan="off",
        **STACK,
    )
