"""Compile the kernels of `src/advrush/kernels/native` when the package is built or installed, if a compiler is there.

Without one, or where compiling fails, the package is installed all the same: torch's own operations run then.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/advrush/kernels/native")
FLAGS = ["-O3", "-std=c++17", "-fopenmp", "-fPIC", "-fno-math-errno", "-ffp-contract=fast"]
TARGETS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}
"""The processors that kernels are compiled for; the one at hand is found out when the package runs."""


class KernelsHook(BuildHookInterface):
    """Add the compiled kernels to the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in place and name the files to the builder; leave `ADVRUSH_NATIVE=0` and other machines alone."""
        if self.target_name != "wheel" or os.environ.get("ADVRUSH_NATIVE") == "0":
            return
        built = compile_kernels(Path(self.root) / FOLDER)
        if built:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"] += [f"/{FOLDER / path.name}" for path in built]


def compile_kernels(folder: Path) -> list[Path]:
    """Return the libraries compiled into `folder`; none without g++ (or `CXX`) or on another machine."""
    compiler = shlex.split(os.environ.get("CXX", "")) or [shutil.which("g++") or ""]
    if not compiler[0] or platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        return []
    built = []
    of_sources = f'-DSOURCES="{_sources().digest_of_sources(folder)}"'
    for name, architecture in TARGETS.items():
        library = folder / f"kernels-{name}.so"
        try:
            _compile([*compiler, of_sources], architecture, sorted(folder.glob("*.cpp")), library)
        except (OSError, subprocess.CalledProcessError) as error:
            detail = getattr(error, "stderr", None) or error
            print(f"advrush: no compiled kernels for {architecture}: {detail}", file=sys.stderr)
        else:
            built.append(library)
    return built


def _sources() -> Any:
    """Return the package's module `sources`, without the package, whose requirements are not there at build time."""
    spec = importlib.util.spec_from_file_location("sources", Path(__file__).parent / FOLDER / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compile(compiler: list[str], architecture: str, sources: list[Path], library: Path) -> None:
    """Compile and link without OpenMP's library: its symbols are those of the one that torch has loaded."""
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in sources:
            objects.append(str(Path(folder) / f"{source.stem}.o"))
            _run([*compiler, *FLAGS, f"-march={architecture}", "-c", "-o", objects[-1], str(source)])
        linked, beside = Path(folder) / library.name, library.with_suffix(f".{os.getpid()}.tmp")
        _run([*compiler, "-shared", "-o", str(linked), *objects])
        shutil.copyfile(linked, beside)
        os.replace(beside, library)  # a running process keeps the file that it has loaded


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
