"""Where the published contracts are: a folder with `azure/` and `databricks/`, named by ML_PLATFORM_SPECS."""

import os
from pathlib import Path


def specs_folder() -> Path | None:
    """The folder, or None where none is given: then only semantic rules hold."""
    folder = os.environ.get("ML_PLATFORM_SPECS", "")
    return Path(folder) if folder else None
