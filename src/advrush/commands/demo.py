"""`advrush demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from advrush.demo import demo as run_demo


@dataclass(frozen=True)
class DemoLaunch:
    """Where the demo runs."""

    runs_dir: Path = Path("runs/demo")
    """Folder of the run directories and of report.html."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def demo(arguments: list[str]) -> None:
    """Run the whole chain and print where the report is."""
    launch = tyro.cli(DemoLaunch, prog="advrush demo", description=run_demo.__doc__, args=arguments)
    page = run_demo(launch.runs_dir, device=launch.device)
    Console(highlight=False, soft_wrap=True).print(f"\nreport  {page.resolve()}")
