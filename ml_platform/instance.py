"""Where the instance of Dagster is that a command speaks to: the platform's own, or that of a deployment."""

import os
from pathlib import Path

from ml_platform.settings import Settings

CONFIGURATION = "dagster.yaml"
OWN = "# Dagster's instance on a laptop: SQLite beside this file. `ml-platform` puts a copy into DAGSTER_HOME."
"""How the configuration begins that the platform writes itself."""


def is_own(home: Path) -> bool:
    """Whether the platform may write the configuration in `home`: there is none yet, or it is a copy of its own."""
    configuration = home / CONFIGURATION
    return not configuration.exists() or configuration.read_text().startswith(OWN)


def deployed_home() -> Path | None:
    """The folder in DAGSTER_HOME where somebody else has configured the instance, as in each pod of a deployment.

    None on a laptop. A DAGSTER_HOME without a configuration names no instance.
    """
    named = os.environ.get("DAGSTER_HOME")
    return Path(named) if named and not is_own(Path(named)) else None


def home_of(settings: Settings) -> Path:
    """The folder of the instance that commands open."""
    return deployed_home() or settings.dagster_home
