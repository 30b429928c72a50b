"""Write the plans that are kept."""

import json
import tempfile
from pathlib import Path

from tests.infra.clouds import FOLDER, KINDS, VERSIONS, planned

for provider in VERSIONS:
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            document = planned(provider, kind, Path(folder))
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in document.items())
        (FOLDER / provider / f"{kind}.json").write_text(f"{{\n{lines}\n}}\n")
