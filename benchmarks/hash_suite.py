"""Hash what the suite's simulations give, so that a change meant to leave behaviour alone can show that it does.

Every mix of the suite runs on each of its boards with two seeds, under the policies a bench compares by default and
under one of each other kind. The hash covers `results.csv`, `runs.csv` and every run's summary, byte by byte:

    python -m benchmarks.hash_suite            prints one line for each part and one for the whole
    python -m benchmarks.hash_suite --out DIR  also keeps the bench's directory, to look for what differs
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

POLICIES = (
    "joint,schedutil,floor+schedutil,joint+schedutil,joint+schedutil-uclamp,floor+lavd,largest,floor,best,oracle,"
    "two-stage,race,alert,ladder+schedutil,floor+ondemand,largest+conservative,floor+interactive,schedutil-uclamp,"
    "floor+performance,largest+powersave"
)
SEEDS = 2


def main() -> None:
    """Run the bench, then print the hashes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="directory for the bench; must be empty or missing")
    parser.add_argument("--jobs", type=int, help="processes; else as many as there are cores")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.out or Path(scratch) / "bench"
        command = [sys.executable, "-c", "from workloads.cli import main; main()"]
        command += ["bench", "--suite", "--policies", POLICIES, "--repeats", str(SEEDS), "--out", str(directory)]
        command += ["--jobs", str(options.jobs)] if options.jobs else []
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode not in (0, 1):  # 1: some runs fail on purpose, such as `oracle` without known power
            sys.exit(done.returncode)
        parts = hashes(directory)
    for name, digest in parts.items():
        print(f"{digest[:16]}  {name}")
    print(f"{hashlib.sha256(''.join(parts.values()).encode()).hexdigest()[:16]}  whole")


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of each part of a bench's directory, as hexadecimal digits."""
    lines = (directory / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    summaries = sorted(json.dumps(json.loads(line)["summary"], sort_keys=True) for line in lines)
    contents = {
        "results.csv": (directory / "results.csv").read_bytes(),
        "runs.csv": (directory / "runs.csv").read_bytes(),
        f"{len(summaries)} summaries": "\n".join(summaries).encode(),
    }
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


if __name__ == "__main__":
    main()
