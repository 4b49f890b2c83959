"""`python -m ml_platform_tests.live.up MODULE ADDRESS`: `ml-platform up` for another code location.

The file ADDRESS appears once everything answers, with the address of Dagster's UI.
"""

import sys
from pathlib import Path

from rich.console import Console

from ml_platform.services import keep_up, prepare_home, user_interfaces
from ml_platform.settings import Settings

if __name__ == "__main__":
    module, address = sys.argv[1], Path(sys.argv[2])
    settings = Settings()
    prepare_home(settings)
    with user_interfaces(settings, module) as services:
        scratch = address.with_suffix(".part")
        scratch.write_text(services[0].url)
        scratch.replace(address)
        keep_up(Console())
