"""`advrush search RECIPE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from advrush import parallel, report
from advrush.commands.opening import cost_line, data_line, device_line, open_with, run_line
from advrush.commands.options import Launch, one_recipe, parse, read_recipe, take_positionals
from advrush.commands.output import next_line, print_json, printed_config, runs_as_json
from advrush.commands.own_data import settle, typed_options
from advrush.config import check
from advrush.progress import plain_console, to_width
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.searching import search as search_stage
from advrush.searching.seeds import seeds_of


@dataclass(frozen=True)
class SearchLaunch(Launch):
    """Where and how a search runs."""

    seeds: str | None = None
    """Several seeds in place of one: `0..3` or `0,2,5`; one run each, and one report of all."""


def search(arguments: list[str]) -> None:
    """Search an architecture, print it and where its report is."""
    words, rest = take_positionals(arguments, "search")
    recipe = one_recipe("search", words)
    default = read_recipe("search", SearchConfig, recipe)
    config, launch = parse("search", default, SearchLaunch(), rest)
    check_warmup(config)
    config, launch = on_data(config, launch, rest)
    if printed_config(config, launch):
        return
    configs = [replace(config, seed=seed) for seed in seeds_of(launch.seeds)] if launch.seeds else [config]
    if launch.shows and parallel.is_main():
        supernet = f"supernet of {config.layers} cells in the space {config.space}, {config.channels} channels"
        rows = {
            "data": data_line(config.data.load(launch.data_dir), training=True),
            "search": f"{config.objective}, {config.epochs} epochs, {config.warmup_epochs} of them warm-up; {supernet}",
            "device": device_line(launch.device),
            "cost": cost_line("search", recipe),
        }
        open_with(launch, rows)
    runs = [_one(each, launch) for each in configs]
    if parallel.is_main():
        finish(runs, plain_console(), config, launch)


def _one(config: SearchConfig, launch: SearchLaunch) -> Run:
    """Say where the search goes, search, return the run."""
    open_with(launch, {"run": run_line(launch, "search", config)})
    return search_stage(config, **launch.stage_options)


def on_data(config: SearchConfig, launch: SearchLaunch, options: Sequence[str]) -> tuple[SearchConfig, SearchLaunch]:
    """Return configuration and launch with the data that are meant; a recipe's batch is never larger than they are."""
    if launch.print_config and launch.data_dir is None:
        return config, launch
    found = settle(config.data, launch.data_dir, options)
    batch = config.batch_size
    if "--batch-size" not in typed_options(options):
        batch = max(1, min(batch, found.train if config.departs("no_split") else found.train // 2))
    return replace(config, data=found.data, batch_size=batch), replace(launch, data_dir=found.data_dir)


def check_warmup(config: SearchConfig) -> None:
    """Raise ConfigError for a search that would end before its objective acts: by hand that is a mistake."""
    if config.objective != "darts" and config.warmup_epochs >= config.epochs:
        expected = f"less than epochs ({config.epochs}): {config.objective} would never act; or --objective darts"
        check(False, "warmup_epochs", config.warmup_epochs, expected)


def finish(runs: Sequence[Run], console: Console, config: SearchConfig, launch: Launch) -> None:
    """Write the report of the runs beside the first and print where everything is."""
    page = report.write_report(runs[0].path / "report.html", title="Search", runs=[run.path for run in runs])
    if launch.json:
        print_json(runs_as_json(runs, page))
        return
    for run in runs:
        plain_console(wrap=True).print(report.genotype_text(run.path))
        console.print(to_width(report.outcome(run.path, found=run.found), console))
        console.print(f"run     {run.path}")
    console.print(f"report  {page}")
    recipe = "smoke" if config.data.dataset == "digits" else "small"
    console.print(next_line(launch, "train", recipe, "--arch", runs[0].path))
