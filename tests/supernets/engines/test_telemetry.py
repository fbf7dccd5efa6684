"""No engine tells anybody what is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_onnx_runtime_tells_nobody_of_models(tmp_path: Path) -> None:
    """Where it does, it begins with a file of its own for the time of the session, unless a CI is running it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run(
        [sys.executable, "-c", "import supernets.engines"], env=environment | {"TMPDIR": str(tmp_path)}, check=True
    )
    assert not list(tmp_path.iterdir())
