"""Passwords that a program reads from the secrets of Databricks, where it was given none by environment."""

import os
from collections.abc import Mapping

from dbx_jobs.errors import DataError


def take_secrets(named: Mapping[str, str]) -> None:
    """Set variables of this process to secrets, each named SCOPE/KEY; a variable that is set already stays.

    Serverless compute takes no environment variables of ours. Raises DataError for a secret that cannot be read.
    """
    for variable, name in named.items():
        if not os.environ.get(variable):
            os.environ[variable] = _secret(variable, name)


def _secret(variable: str, name: str) -> str:
    scope, _, key = name.partition("/")
    try:
        from databricks.sdk.runtime import dbutils

        return dbutils.secrets.get(scope=scope, key=key)
    except Exception as error:  # of the runtime, whose classes are not to be had elsewhere
        said = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{variable} is to be the secret {key!r} of the scope {scope!r} of Databricks, which cannot be read: "
            f"{type(error).__name__}: {said}. Put it there (databricks secrets put-secret {scope} {key}), and let the "
            f"identity of the runs read it (databricks secrets put-acl {scope} IDENTITY READ)"
        ) from error
