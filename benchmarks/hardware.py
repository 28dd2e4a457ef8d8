"""Name the machine that numbers were taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from advrush.kernels import native


def hardware(device: str = "cpu") -> dict[str, object]:
    """Return the processor, its cores and the threads in use, the GPU if it is the device, versions, and the load."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "compiled_kernels": native.library() is not None,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }
