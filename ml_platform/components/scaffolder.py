"""`dg scaffold defs ml_platform.components.ModelProduct NAME`: writes a skeleton that works."""

import re
from pathlib import Path
from string import Template

import dagster as dg

from ml_platform.errors import SpecError

SKELETON = Path(__file__).parent / "skeleton"


class ModelProductScaffolder(dg.Scaffolder):
    """Copies the skeleton under the product's name."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the files of the skeleton into the new folder, which has the product's name."""
        name = request.target_path.name
        if request.scaffold_format != "yaml" or request.append:
            raise SpecError("A model product has a folder of its own with a defs.yaml: scaffold with --format yaml")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise SpecError(f"The product's name must be lower_snake_case, not {name!r}")
        for file in sorted(SKELETON.iterdir()):
            text = Template(file.read_text()).substitute(name=name)
            (request.target_path / file.name).write_text(text)
