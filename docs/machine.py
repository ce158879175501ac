"""Where figures come from: prints one JSON object about this machine, the program and the day."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def about() -> dict[str, str]:
    """In words, for the head of a file of figures."""
    processor = platform.processor() or "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "machine": f"{len(os.sched_getaffinity(0))} cores ({processor}), {memory:.0f} GiB, Linux {platform.release()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or "unknown",
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
    }


if __name__ == "__main__":
    print(json.dumps(about()), flush=True)
