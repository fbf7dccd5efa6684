"""The JSON schema of a run's summary."""

import json
from pathlib import Path

SCHEMA = json.loads((Path(__file__).parent / "summary.schema.json").read_text(encoding="utf-8"))
