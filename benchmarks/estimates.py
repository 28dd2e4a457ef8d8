"""Compare estimates of AutoAttack's outcome with its flags: what they miss, and what they cost.

    python benchmarks/estimates.py python:cnn_a:adv --eps 0.00784313725490196 \\
        --dataset bracket --data-dir images200.npz --test-all
    python benchmarks/estimates.py runs/demo/train/... --dataset digits --eps 0.05 0.1
    python benchmarks/estimates.py --draw docs/estimates.svg

Nothing is timed: costs are counted, in examples passed forward and backward, so that other work on the machine does
not matter. An example is missed where AutoAttack breaks it and the estimate does not. Results are added to the JSON
after each network and radius; what stands there is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import torch

from advrush import DataConfig
from advrush.attacks import Linf, parse_attacks
from advrush.evaluation import find_target, measure
from advrush.report.downloads import svg_file
from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import legend_above, new_figure, to_svg
from hardware import hardware

VERDICT = "autoattack"
ATTACKS = ("pgd20", "pgd_pma20", "apgd_ce", "apgd_pma", "malt", "adaptive", "quick", VERDICT)
SHARE = 10_000


def compare(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float) -> dict[str, Any]:
    """Return for each attack how many examples it leaves and misses, and its passes for each 10,000 examples."""
    found = measure(model, x, y, attacks=parse_attacks(ATTACKS, Linf(eps)), batch_size=250)
    verdict = found.attacks[-1].flags
    rows = {}
    for attack in found.attacks:
        rows[attack.name] = {
            "robust": int(attack.flags.sum()),
            "missed": int((attack.flags & ~verdict).sum()),
            "found_besides": int((verdict & ~attack.flags).sum()),
            "forwards_per_10000": round(attack.forwards * SHARE / len(x)),
            "backwards_per_10000": round(attack.backwards * SHARE / len(x)),
        }
    return {"examples": len(x), "clean": int(found.clean.sum()), "attacks": rows}


def table(results: dict[str, Any]) -> str:
    """Return the results in Markdown: a block of rows for each network and radius."""
    lines = [
        "| network, eps | attack | left correct | missed | found besides | forwards, M | backwards, M |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for key, result in results.items():
        for name, row in result["attacks"].items():
            millions = (row[f"{kind}_per_10000"] / 1e6 for kind in ("forwards", "backwards"))
            numbers = (f"{row['robust']} of {result['examples']}", row["missed"], row["found_besides"])
            cells = [key, name, *map(str, numbers), *(f"{value:.2f}" for value in millions)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the picture: examples missed against gradients, one color for each attack, one mark for each network."""
    figure, (axis,) = new_figure(width=7.4, height=4.2)
    marks = "osD^vP*X"
    names = [name for name in next(iter(results.values()))["attacks"] if name != VERDICT]
    for index, name in enumerate(names):
        for mark, result in zip(marks, results.values(), strict=False):
            row, verdict = result["attacks"][name], result["attacks"][VERDICT]
            across = 100 * row["backwards_per_10000"] / verdict["backwards_per_10000"]
            up = 100 * row["missed"] / result["examples"]
            axis.plot([across], [up], mark, color=series_color(index), markersize=6, zorder=3)
        axis.plot([], [], color=series_color(index), linewidth=4, label=name)
    for mark, network in zip(marks, results, strict=False):
        axis.plot([], [], mark, color="#6e7781", markersize=6, label=network)
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20, 50, 100], labels=["1", "2", "5", "10", "20", "50", "100"])
    axis.minorticks_off()
    axis.set_xlim(1, 100)
    axis.set_xlabel("gradients, % of AutoAttack's")
    axis.set_ylabel("examples missed, % of all")
    legend_above(figure, (axis,))
    drawing = to_svg(figure, title="Examples that estimates miss, against what they cost")
    file = svg_file("estimates", drawing)
    path.write_text(unquote(file.uri.removeprefix("data:image/svg+xml,")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="RUN, weights file or python:MODULE:FACTORY")
    parser.add_argument("--eps", type=float, nargs="+", default=[])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--examples", type=int, help="of the test split; 512 unless given")
    parser.add_argument("--test-all", action="store_true", help="the file's images are all for testing")
    parser.add_argument("--name", help="of the network, in tables; its target unless given")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "estimates-cpu.json")
    parser.add_argument("--draw", type=Path, help="draw what was measured to this SVG")
    args = parser.parse_args()
    report = json.loads(args.out.read_text()) if args.out.exists() else {"hardware": hardware(), "results": {}}
    if args.targets:
        chosen = 512 if args.examples is None and not args.test_all else args.examples
        test = DataConfig(args.dataset, test_examples=chosen, test_all=args.test_all).load(args.data_dir).test
        x, y = test.images.float() / 255, test.labels
    for target in args.targets:
        model = find_target(target).model.eval()
        for eps in args.eps:
            key = f"{args.name or target}, {eps:.4g}"
            if key not in report["results"]:
                report["results"][key] = compare(model, x, y, eps)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report["results"]))
    if args.draw is not None:
        draw(report["results"], args.draw)


if __name__ == "__main__":
    main()
