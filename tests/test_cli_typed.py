"""What is mistyped on a command line is refused before anything is imported; what is printed fits a terminal."""

import subprocess
import sys

import pytest
from rich.console import Console

from advrush.attacks import parse_attacks, threat_model
from advrush.cli import main, overview
from advrush.commands.help import HELP, help_text
from advrush.commands.typed import checked
from advrush.errors import ConfigError
from advrush.progress import Display, folded, seconds_text
from advrush.searching.monitor import search_line
from advrush.training.loop import training_line


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("search smoke --epcohs 3", r"unknown option '--epcohs' \(did you mean '--epochs'\?\)"),
        ("search smoke --gamma 3", r"unknown option '--gamma' \(did you mean '--curvature.gamma'\?\)"),
        ("search smoke --curvature.gama=3", r"'--curvature.gama' \(did you mean '--curvature.gamma'\?\)"),
        ("search smoke --epochs three", "epochs: got 'three'; expected a whole number"),
        ("search smoke --epochs=2.5", "epochs: got '2.5'; expected a whole number"),
        ("search smoke --epochs --flip", "epochs: got nothing; expected a whole number behind --epochs"),
        ("search smoke --epochs", "epochs: got nothing"),
        ("search smoke --name", "name: got nothing; expected a word behind --name"),
        ("evaluate x --eps 8/0", "eps: got '8/0'; expected a number such as 0.03 or 8/255"),
        ("evaluate x --sweep-eps a", "sweep_eps: got 'a'; expected a number"),
        ("evaluate x --norm l3", "norm: got 'l3'.*expected one of Linf, L2, L1"),
        ("train smoke --objective tradess", r"objective: got 'tradess' \(did you mean 'trades'\?\); expected one of"),
        ("train smoke --no-epochs", "unknown option '--no-epochs'"),
        ("analyze curvature x --imgaes 3", "advrush analyze curvature --help"),
        ("demo --seed 3", "unknown option '--seed'"),
        ("list attacks --jsn", r"did you mean '--json'"),
    ],
)
def test_a_mistyped_option_is_named_with_what_would_be_right(command: str, said: str) -> None:
    name, *words = command.split()
    with pytest.raises(ConfigError, match=said):
        checked(name, words)


@pytest.mark.parametrize(
    "command",
    [
        "search smoke --data_dir images --no-flip --seed=3",
        "search smoke --curvature.gamma -0.5",
        "train --optimizer.decay-epochs 50 75 smoke",
        "evaluate --attacks fgsm pgd20 --eps 8/255 runs/x --fold-norms False",
        "evaluate x -- --odd-name",
        "show ADVRUSH",
        "completion next -- search --ep",
        "analyze curvatur x --images 3",
    ],
)
def test_what_is_right_is_left_as_it_is(command: str) -> None:
    name, *words = command.split()
    assert checked(name, words) == words


def test_choices_are_known_in_any_capitals() -> None:
    assert checked("evaluate", ["x", "--norm", "l2", "--order=Batch"]) == ["x", "--norm", "L2", "--order=batch"]


def test_a_mistake_is_told_before_torch_is_imported() -> None:
    code = (
        "import sys; from advrush.cli import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'tyro'} & set(sys.modules); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "evaluate", "runs/x", "--atacks", "fgsm"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean '--attacks'" in done.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("pgd20_to_nxt", "pgd20_to_next"),
        ("fgsm_to_lest_likely", "fgsm_to_least_likely"),
        ("pdg50", "pgd50"),
        ("pgd40x", "pgd40"),
        ("mfgsm7", "mifgsm7"),
        ("autoatack", "autoattack"),
        ("fgms", "fgsm"),
    ],
)
def test_a_misspelled_attack_is_suggested_with_its_steps_and_target(typed: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        parse_attacks(typed, threat_model("Linf", 0.03))


def test_a_misspelled_attack_is_told_before_the_lines_of_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/none", "--attacks", "fgms"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "did you mean 'fgsm'" in told.err


def test_the_overview_and_every_help_fit_80_columns() -> None:
    texts = [overview(), *(help_text(*name.split(" ", 1), width=80) for name in HELP if " " not in name)]
    texts += [help_text(first, [second], width=80) for first, _, second in (n.partition(" ") for n in HELP) if second]
    assert len(texts) == len(HELP) + 1
    assert [line for text in texts for line in text.splitlines() if len(line) > 80] == []


def test_an_example_that_is_folded_can_still_be_pasted() -> None:
    text = help_text("evaluate", width=60)
    shown = text[text.index("examples:\n") :].removeprefix("examples:\n")
    assert "\\\n" in shown
    joined = " ".join(shown.replace("\\\n", " ").split())
    assert joined == HELP["evaluate"].examples[0]


def test_lines_of_epochs_fit_a_terminal() -> None:
    row = {
        "epoch": 104, "phase": "warmup", "lr": 0.0024567, "loss_train": 2.31234, "acc_train": 0.334, "loss_val": 2.1,
        "acc_val": 0.847, "curvature": 23.456, "skips": {"normal": 1, "reduce": 2}, "seconds": 33.9,
        "clean_acc_val": 0.824, "robust_acc_val": 0.577,
    }  # fmt: skip
    assert len(training_line(row, 200)) <= 80
    assert len(search_line({**row, "epoch": 49}, 60)) <= 80
    assert search_line(row, 200).startswith("warmup 105/200")
    assert search_line({**row, "phase": "objective"}, 200).startswith("epoch ")
    assert (seconds_text(8.24), seconds_text(33.9)) == ("8.2 s", "34 s")


def test_long_lines_are_folded_between_words_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "network " + " ".join(["word"] * 20) + " /a/path/that/is/longer/than/the/whole/terminal/and/stays/in/one/piece"
    )
    for terminal in (True, False):
        console = Console(force_terminal=terminal, width=40, soft_wrap=True, color_system=None)
        Display("x", console=console).line(text)
        lines = capsys.readouterr().out.splitlines()
        assert " ".join(word for line in lines for word in line.split()) == text
        assert (len(lines) > 1) == terminal
    assert folded("ab cd\nef", 4, indent=2) == "ab\n  cd\nef"
    assert folded("skips 1/2  5.1 s", 14, indent=2) == "skips 1/2\n  5.1 s"


def test_a_genotype_is_shown_without_torch_and_matplotlib() -> None:
    code = (
        "import sys; from advrush.cli import main; code = main(['show', 'advrush']);"
        "assert not {'torch', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Reduction cell" in done.stdout
