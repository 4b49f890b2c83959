"""The client of a Databricks workspace, and what of its answers is worth another try."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import DeadlineExceeded, InternalError, Unauthenticated
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.retries import retried

from ml_platform.errors import SettingsError

HTTP_SECONDS = 60
RETRY_SECONDS = 300
"""So long a call is tried again that Databricks throttles (as it asks with Retry-After) or fails to answer."""

TOKENS = 3
"""So many tokens may be refused before it is the identity that is: one may expire on the way."""

_REFUSED = ("access_denied", "invalid_", "unauthorized_client", "unsupported_")
"""How OAuth (RFC 6749, 5.2) begins what is no use to try again."""

P = ParamSpec("P")
T = TypeVar("T")


def connected(host: str) -> WorkspaceClient:
    """A client of the workspace at `host`; raises SettingsError where there are no credentials.

    The SDK asks where to log in, and takes a 500 for the answer: what passes is waited for.
    """
    timeout = timedelta(seconds=RETRY_SECONDS)
    try:
        return retried(is_retryable=_passing_cause, timeout=timeout)(_client)(host)
    except (ValueError, TimeoutError) as error:
        raise SettingsError(
            f"Databricks at {host} cannot be reached as anybody: {error}. Set DATABRICKS_CLIENT_ID and"
            " DATABRICKS_CLIENT_SECRET of a service principal, or another login that databricks-sdk knows"
        ) from error


def _client(host: str) -> WorkspaceClient:
    config = Config(host=host, http_timeout_seconds=HTTP_SECONDS, retry_timeout_seconds=RETRY_SECONDS)
    return WorkspaceClient(config=config)


def _passing_cause(error: BaseException | None) -> str | None:
    """What passes among what led to an error: the SDK makes a ValueError of whatever keeps it from logging in."""
    while error is not None:
        if isinstance(error, DatabricksError) and (why := _passing(error)):
            return why
        error = error.__cause__ or error.__context__
    return None


def steadily(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The answer of a call that may be made twice; what passes is waited for.

    The SDK itself waits when it is throttled (429, 503) and reconnects; a 500, 502, 504 or a token that expired too
    soon it takes for final. Raises DatabricksError, and TimeoutError when nothing came of it in RETRY_SECONDS.
    """
    refused = 0

    def passing(error: BaseException) -> str | None:
        nonlocal refused
        if isinstance(error, Unauthenticated):
            refused += 1
            return "the token was refused" if refused < TOKENS else None
        return _passing(error)

    timeout = timedelta(seconds=RETRY_SECONDS)
    try:
        return retried(is_retryable=passing, timeout=timeout)(call)(*arguments, **named)
    except (DatabricksError, TimeoutError) as error:
        _forget_headers(error)
        raise
    except ValueError as error:
        raise Unauthenticated(str(error)) from error  # all that the SDK makes of a refusal of the token


def _forget_headers(error: BaseException | None) -> None:
    """Take the token out of what the SDK says of an answer that it cannot read, such as a proxy's page."""
    while error is not None:
        if isinstance(error, DatabricksError) and "Request log:" in str(error):
            status = re.search(r"^< (\d{3}.*)$", str(error), re.MULTILINE)
            error.args = (f"an answer that is none of Databricks: {status[1] if status else 'without a status'}",)
        error = error.__cause__ or error.__context__


def _passing(error: BaseException) -> str | None:
    if isinstance(error, InternalError | DeadlineExceeded) or type(error) is DatabricksError:
        return "the service failed"  # the SDK has no class of its own for a 502
    if isinstance(error, ValueError) and not str(error).startswith(_REFUSED):
        return "no token was given"  # the SDK asks for tokens without trying twice
    return None
