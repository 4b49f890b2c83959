"""What the jobs raise on purpose: each message names what was found and what to do."""


class DataError(ValueError):
    """The data, the table or the request does not fit, so the job refuses to go on."""
