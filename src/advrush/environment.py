"""The software and hardware that a run is computed with."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Describe software and hardware, without names of the machine or its user."""
    return {
        "advrush": version("advrush"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "world": int(os.environ.get("WORLD_SIZE", "1")),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
