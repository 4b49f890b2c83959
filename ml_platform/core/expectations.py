"""The typed form of a product's expectation file: Great Expectations by table."""

from typing import Any, Literal

from pydantic import Field

from ml_platform.core.spec import Name, Spec


class ExpectationSpec(Spec):
    """One expectation on one table; its name is the name of the asset check."""

    name: Name
    expect: str = Field(pattern=r"^expect_[a-z0-9_]+$", description="Name of a Great Expectations expectation.")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Literal["ERROR", "WARN"] = "ERROR"
    description: str = ""


class ExpectationFile(Spec):
    """Expectations by table: `lake/<source>` or `features/<product>`."""

    tables: dict[str, list[ExpectationSpec]]
