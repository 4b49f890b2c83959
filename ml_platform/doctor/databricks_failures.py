"""What a failure of a Databricks workspace means, and what to do about it."""

from ml_platform.doctor.check import CheckFailed


def explained(error: BaseException, host: str, missing: str, rights: str) -> CheckFailed:
    """The check's failure. `missing` and `rights` are the remedies where a thing is not there, or not allowed."""
    from databricks.sdk.errors import NotFound, PermissionDenied, Unauthenticated
    from databricks.sdk.errors.base import DatabricksError

    if isinstance(error, TimeoutError) and error.__cause__:
        error = error.__cause__  # what the SDK tried again until its time was over
    if isinstance(error, NotFound):
        return CheckFailed(f"{host}: {said(error)}", missing or f"Correct what is asked of {host}")
    if isinstance(error, PermissionDenied):
        return CheckFailed(f"{host}: {said(error)}", rights or _access(host))
    if isinstance(error, DatabricksError) and not isinstance(error, Unauthenticated):
        return _failing(error, host)
    # OSError: requests' own; ValueError: what the SDK makes of a refusal of its request for a token.
    return _unreached(error, host) if isinstance(error, OSError) else no_login(error, host)


def no_login(error: BaseException, host: str) -> CheckFailed:
    """There are no credentials here, or the workspace does not take them."""
    return CheckFailed(
        f"{host} takes no login of this process: {said(error)}",
        f"Set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET of a service principal of {host}, or another login "
        "that databricks-sdk knows",
    )


def said(error: BaseException) -> str:
    """The error's kind and its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _failing(error: BaseException, host: str) -> CheckFailed:
    from databricks.sdk.errors import ResourceExhausted, TooManyRequests

    if isinstance(error, TooManyRequests | ResourceExhausted):
        return CheckFailed(
            f"{host} is throttled: {said(error)}", f"Ask {host} again in a minute; ask less of it if it stays so"
        )
    return CheckFailed(f"{host}: {said(error)}", f"Ask {host} again in some minutes, and see Databricks' status page")


def _unreached(error: BaseException, host: str) -> CheckFailed:
    if "certificate" in str(error).lower():
        remedy = f"Name the authority that {host} is certified by in REQUESTS_CA_BUNDLE and SSL_CERT_FILE"
        return CheckFailed(f"the certificate of {host} is not trusted", remedy)
    return CheckFailed(
        f"{host} cannot be reached: {said(error)}",
        f"Correct ML_PLATFORM_DATABRICKS_HOST, or let this machine reach {host}: name resolution, firewall, private "
        "link",
    )


def _access(host: str) -> str:
    return f"Add this identity to {host} with the entitlement Workspace access, and let its IP access list in"
