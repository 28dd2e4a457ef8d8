"""`advrush leaderboard RUN|FOLDER ... --out FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from advrush.commands.addresses import run_of
from advrush.commands.options import words_and_options
from advrush.commands.output import print_json
from advrush.config import check
from advrush.errors import ConfigError
from advrush.report.leaderboard import board_lines
from advrush.report.leaderboard import leaderboard as make_board
from advrush.run import Run


@dataclass(frozen=True)
class LeaderboardOptions:
    """Where a leaderboard goes."""

    out: Path = Path("leaderboard")
    """Folder of leaderboard.html and leaderboard.json, made if it is not there."""
    json: bool = False
    """Print the leaderboard as JSON on standard output."""


def leaderboard(arguments: list[str]) -> None:
    """Rank finished evaluations that were attacked alike; write a page, and JSON in RobustBench's form."""
    words, options = words_and_options(arguments, "leaderboard", LeaderboardOptions)
    if not words:
        raise ConfigError("leaderboard: expected evaluations or folders of runs: `advrush leaderboard runs`")
    check(not options.out.is_file(), "out", str(options.out), "a folder")
    places = [Path(run_of(word)) for word in words]
    for place in places:
        if not place.is_dir():
            Run.at(place)  # says that there is no run
    page = options.out / "leaderboard.html"
    board = make_board(places, page)
    make_board(places, options.out / "leaderboard.json")
    if options.json:
        print_json({**board, "page": str(page)})
        return
    for line in board_lines(board):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"leaderboard {page}\n")
