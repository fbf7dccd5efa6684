"""Runs the tests in two processes at once: those that start Ray, which wait most of the time, and all others.

`python tests/run_all.py`. The output of the first is shown as it comes, that of the second at its end. It exits with 0
if both do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

SHARES = ("not ray and not slow", "ray and not slow")


def main() -> int:
    """Run both shares and return the first exit status that is not 0."""
    with tempfile.TemporaryFile() as others_said:
        others, on_ray = (
            subprocess.Popen([sys.executable, "-m", "pytest", "-m", share], stdout=out, stderr=subprocess.STDOUT)
            for share, out in zip(SHARES, (others_said, None), strict=True)
        )
        try:
            statuses = (on_ray.wait(), others.wait())
        except KeyboardInterrupt:  # both got the signal too, and end by themselves
            statuses = (on_ray.wait(), others.wait())
        others_said.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(others_said.read())
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(main())
