"""`advrush demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from advrush.commands.options import Launch, take_positionals
from advrush.commands.output import next_line, print_json, runs_as_json
from advrush.demo import demo as run_demo
from advrush.demo import demo_runs
from advrush.errors import ConfigError
from advrush.evaluation import ResultTable
from advrush.progress import plain_console


@dataclass(frozen=True)
class DemoLaunch:
    """Where the demo runs."""

    runs_dir: Path = Path("runs/demo")
    """Folder of the run directories and of report.html."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    quiet: bool = False
    """Print results only."""
    json: bool = False
    """Print the results as JSON, and nothing else, on standard output."""


def demo(arguments: list[str]) -> None:
    """Run the whole chain; print the accuracies and where the report is."""
    words, rest = take_positionals(arguments, "demo")
    if words:
        raise ConfigError(f"demo: got {' '.join(words)}; expected options alone")
    launch = tyro.cli(DemoLaunch, prog="advrush demo", description=run_demo.__doc__, args=rest)
    shows = not (launch.quiet or launch.json)
    runs, page = demo_runs(launch.runs_dir, device=launch.device, display=shows)
    if launch.json:
        print_json(runs_as_json(runs, page))
        return
    console = plain_console()
    tested = [run for run in runs if run.stage == "evaluate"]
    for run in tested:
        console.print(f"\n{ResultTable.of(run.result())}")
    console.print(f"\nreport  {page}")
    found = next(run for run in runs if run.stage == "train")
    eps = str(tested[0].result()["threat_model"]["eps"])
    words = ["evaluate", str(found.path), "--attacks", "quick", "--eps", eps]
    console.print(next_line(Launch(runs_dir=launch.runs_dir, device=launch.device), *words))
