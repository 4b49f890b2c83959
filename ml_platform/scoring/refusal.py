"""What a request is refused with."""


class Refusal(Exception):
    """Ends a request with a status, a message for the caller and headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}
