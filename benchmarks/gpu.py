"""Run every check that needs a GPU, in under nine minutes; print the ratios.

    python benchmarks/gpu.py --data DIR

Each check is a process with a limit of its own, and leaves its JSON in `benchmarks/results` with the hardware named;
one that fails or takes too long does not keep the others from running.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CIFAR-10")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("no CUDA device is to be seen; the same scripts without --gpu measure a CPU")
    attacks = [
        "attacks.py",
        "--data",
        str(options.data),
        "--device",
        "cuda",
        "--examples",
        "512",
        "--batch-size",
        "512",
    ]
    failed = []
    for command, limit in ((["search_step.py", "--gpu"], 200), (["train_step.py", "--gpu"], 120), (attacks, 200)):
        started = time.monotonic()
        print(f"== {' '.join(command)}", flush=True)
        try:
            subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True, timeout=limit)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(command[0])
            print(f"{command[0]}: {error}", flush=True)
        print(f"== {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
