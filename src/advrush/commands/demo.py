"""`advrush demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from advrush.commands.output import print_json
from advrush.demo import demo as run_demo
from advrush.progress import plain_console


@dataclass(frozen=True)
class DemoLaunch:
    """Where the demo runs."""

    runs_dir: Path = Path("runs/demo")
    """Folder of the run directories and of report.html."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print where the report is as JSON, and nothing else, on standard output."""


def demo(arguments: list[str]) -> None:
    """Run the whole chain and print where the report is."""
    launch = tyro.cli(DemoLaunch, prog="advrush demo", description=run_demo.__doc__, args=arguments)
    page = run_demo(launch.runs_dir, device=launch.device, display=not launch.json)
    if launch.json:
        print_json({"report": str(page.resolve())})
        return
    plain_console().print(f"\nreport  {page.resolve()}")
