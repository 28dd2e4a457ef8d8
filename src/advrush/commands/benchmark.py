"""`advrush benchmark TABLE --measure COLUMN`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from advrush import parallel, report
from advrush.commands.addresses import run_of
from advrush.commands.options import Launch, parse, read_recipe, take_positionals
from advrush.commands.output import print_json, printed_config, runs_as_json
from advrush.config import check
from advrush.errors import ConfigError
from advrush.progress import plain_console
from advrush.run import Run
from advrush.searching import SearchConfig
from advrush.tabular import BenchmarkConfig, PredictorsConfig, Table, contenders, judge_predictors, read_table
from advrush.tabular import benchmark as benchmark_stage

USAGE = "advrush benchmark TABLE --measure COLUMN"


@dataclass(frozen=True)
class BenchmarkLaunch(Launch):
    """Where and how a benchmark runs."""

    recipe: str = "small"
    """The recipe or TOML file of the searches, which `--search.FIELD VALUE` changes."""


@dataclass(frozen=True)
class PredictorsLaunch(Launch):
    """Where and how predictors are measured."""

    jobs: int = 1
    """Processes that share the rows."""
    inherit: Path | None = None
    """A finished search whose supernet the rows inherit their weights from (state inherited)."""


def benchmark(arguments: list[str]) -> None:
    """Judge searches or predictors by a table; print what they are worth and where the report is."""
    named = arguments[:1] == ["predictors"]
    arguments = arguments[1:] if named else arguments
    predictors = named or any(word.partition("=")[0] == "--predictors" for word in arguments)
    words, rest = take_positionals(arguments, "benchmark predictors" if predictors else "benchmark")
    if len(words) != 1:
        got = " ".join(words) or "nothing"
        raise ConfigError(f"benchmark: got {got}; expected one table (a CSV file), as in `{USAGE}`")
    table = read_table(Path(words[0]))
    if predictors:
        _predictors(table, rest)
        return
    rest, recipe = _take(rest, "--recipe")
    default = BenchmarkConfig(name=table.name, search=read_recipe("search", SearchConfig, recipe or "small"))
    config, launch = parse("benchmark", default, BenchmarkLaunch(), rest)
    config = replace(config, searches=_words(config.searches))
    _check(config, table)
    if printed_config(config, launch):
        return
    run = benchmark_stage(table, config, **launch.stage_options)
    if parallel.is_main():
        finish(run, launch)


def _predictors(table: Table, options: list[str]) -> None:
    default = PredictorsConfig(name=table.name)
    config, launch = parse("benchmark predictors", default, PredictorsLaunch(), options)
    config = replace(config, predictors=_words(config.predictors))
    check(bool(config.measure), "measure", config.measure, f"a column of the table: {', '.join(table.measures)}")
    table.check_measure(config.measure)
    if printed_config(config, launch):
        return
    run = judge_predictors(
        table, config, data_dir=launch.data_dir, runs_dir=launch.runs_dir, jobs=launch.jobs, display=launch.shows,
        inherit=None if launch.inherit is None else Run.at(Path(run_of(str(launch.inherit)))),
    )  # fmt: skip
    finish(run, launch)


def _check(config: BenchmarkConfig, table: Table) -> None:
    check(bool(config.measure), "measure", config.measure, f"a column of the table: {', '.join(table.measures)}")
    table.check_measure(config.measure)
    for each in contenders(config.searches, replace(config.search, space=table.space_name)):
        if each.search is not None and each.search.objective != "darts":
            warm, epochs = each.search.warmup_epochs, each.search.epochs
            check(warm < epochs, "search.warmup_epochs", warm, f"less than search.epochs ({epochs})")


def finish(run: Run, launch: Launch) -> None:
    """Print a finished benchmark and write its report beside it."""
    page = report.write_report(run.path / "report.html", title="Benchmark", runs=[run.path])
    if launch.json:
        print_json(runs_as_json([run], page))
        return
    console = plain_console()
    for table in report.benchmark_tables(run.path):
        console.print(report.on_terminal(table))
        console.print()
    console.print(f"run     {run.path}")
    console.print(f"report  {page}")


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for each in given for word in each.split(",") if word)


def _take(arguments: list[str], option: str) -> tuple[list[str], str | None]:
    """Take an option with its value, in either form, out of the arguments; the last one counts."""
    rest, value = [], None
    waiting = False
    for word in arguments:
        if waiting:
            value, waiting = word, False
        elif word == option:
            waiting = True
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    if waiting:
        raise ConfigError(f"{option.strip('-')}: got nothing; expected a value behind {option}")
    return rest, value
