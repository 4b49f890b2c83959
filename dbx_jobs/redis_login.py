"""How a Redis is logged in to: with a password, or as an identity of Entra, as Azure Managed Redis wants it."""

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dbx_jobs.online_contract import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.credentials import CredentialProvider

SCOPE = "https://redis.azure.com/.default"
TOKEN_MILLISECONDS = 20_000


def login_of(uri: str) -> dict[str, Any]:
    """Arguments of redis-py's clients: the password of the environment; over TLS without one, tokens of Entra.

    Raises ImportError where tokens are needed and the library for them is not installed.
    """
    if password := os.environ.get(PASSWORD_VARIABLE):
        return {"password": password}
    return {"credential_provider": _entra()} if urlsplit(uri).scheme == "rediss" else {}


def log_in_again(client: "Redis | AsyncRedis") -> None:
    """Have the open connections of a client log in with each new token, before theirs ends and they are closed.

    A client that is made from a URI does not tell its credential provider by itself.
    """
    pool = client.connection_pool
    if provider := pool.connection_kwargs.get("credential_provider"):
        provider.on_next(pool.re_auth_callback)


def _entra() -> "CredentialProvider":
    """Gives one client the tokens of the identity that azure-identity finds in the environment."""
    try:
        from redis.auth.token_manager import RetryPolicy, TokenManagerConfig
        from redis_entraid.cred_provider import create_from_default_azure_credential
    except ImportError as error:
        raise ImportError(
            f"rediss:// without {PASSWORD_VARIABLE} is logged in to with a token of Entra: install redis-entraid, as "
            "the extra `azure` does, or set the password"
        ) from error
    # Its own bound for a token is 100 ms, less than a managed identity takes for its first.
    patient = TokenManagerConfig(0.7, 0, TOKEN_MILLISECONDS, RetryPolicy(3, 500))
    return create_from_default_azure_credential((SCOPE,), token_manager_config=patient)
