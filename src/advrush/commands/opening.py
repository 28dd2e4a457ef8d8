"""The lines that a command prints before it computes: data, network, device, folder, new or resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from advrush import config as configs
from advrush import parallel
from advrush.commands.options import Launch, recipes
from advrush.data import Dataset
from advrush.errors import AdvrushError
from advrush.kernels import native
from advrush.progress import plain_console, to_width
from advrush.run import Run


def open_with(launch: Launch, rows: Mapping[str, str]) -> None:
    """Print the lines, a word in front of each; nothing where progress is not shown, or by other processes."""
    if not (launch.shows and parallel.is_main()):
        return
    console = plain_console()
    for word, text in rows.items():
        if text:
            console.print(to_width(f"{word:<7} {text}", console))


def data_line(dataset: Dataset, *, training: bool) -> str:
    """Return "digits: 256 training and 360 test images of 8x8 pixels, 10 classes"."""
    counts = f"{len(dataset.train):,} training and " if training else ""
    gray = ", gray" if dataset.channels == 1 else ""
    side = dataset.image_size
    return (
        f"{dataset.name}: {counts}{len(dataset.test):,} test images of {side}x{side} pixels{gray}, "
        f"{dataset.num_classes} classes"
    )


def device_line(device: str) -> str:
    """Return the device, how many threads or processes, which kernels. Raises ConfigError where it is absent."""
    processes = parallel.setup(device)
    name = torch.cuda.get_device_name(processes.device) if processes.device.type == "cuda" else "cpu"
    threads = torch.get_num_threads()
    how_many = f", {processes.world} processes" if processes.world > 1 else ""
    kernels = ", compiled kernels" if processes.device.type == "cpu" and native.library() is not None else ""
    return f"{name}, {threads} thread{'' if threads == 1 else 's'}{how_many}{kernels}"


def run_line(launch: Launch, stage: str, config: Any) -> str:
    """Return the folder of the run, and where it goes on if it was begun before."""
    path = Path(launch.runs_dir) / stage / f"{config.name}-{configs.digest(config)}"
    return f"{path}{_begun(path, getattr(config, 'epochs', None))}"


def cost_line(stage: str, recipe: str) -> str:
    """Return what the header of a known recipe tells of its cost, "" where it tells nothing or is one's own."""
    path = recipes(stage).get(recipe)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    start = next((i for i, line in enumerate(lines) if line.startswith("# Cost")), None)
    if start is None:
        return ""
    found = [lines[start]]
    for line in lines[start + 1 :]:
        if not line.startswith("#") or ":" in line.split(" ", 2)[1]:
            break
        found.append(line)
    text = " ".join(line.removeprefix("#").strip() for line in found)
    return "" if "not measured" in text and "CPU" not in text else text.partition(": ")[2]


def _begun(path: Path, epochs: int | None) -> str:
    if (path / "result.json").is_file():
        return "  (finished before)"
    if not (path / "last.pt").is_file():
        return ""
    try:
        state = Run(path).load_state(writer=False)
    except AdvrushError:  # the stage says what is wrong with it
        return ""
    if epochs is not None and state is not None:
        return f"  (resuming at epoch {int(state['epoch']) + 1} of {epochs})"
    return "  (resuming)"
