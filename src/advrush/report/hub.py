"""Trained networks on the Hugging Face hub: weights with their blueprint, and a card that tells what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advrush.errors import RunError
from advrush.evaluation.result_table import ResultTable
from advrush.models.weights.hub import FILE, PREFIX, library
from advrush.models.weights.saved import BEST, WEIGHTS, read_blueprint
from advrush.report.names import trained_by
from advrush.report.records import Record, find_records
from advrush.run import Run


def push_to_hub(run: Run | Path | str, repo: str, *, private: bool = True, api: Any = None) -> str:
    """Write a finished training to the repository USER/NAME of the Hugging Face hub; return its address for `load`.

    Args:
        run: the finished training.
        repo: USER/NAME; it is made where it is not there.
        private: whether a repository that is made is private.
        api: a `huggingface_hub.HfApi` of one's own, for another server or token.

    What goes there: the weights (the best checkpoint where there is one) and a card with architecture, training, and
    the evaluations that lie beside the run. Raises RunError where the training has not finished, ModelError where
    huggingface_hub is not installed.
    """
    record = Record.read(Path(run))
    if record.stage != "train" or record.result is None:
        raise RunError(f"{record.path}: expected a finished training")
    weights = next(record.path / name for name in (BEST, WEIGHTS) if (record.path / name).is_file())
    api = api or library().HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    api.upload_file(path_or_fileobj=weights.read_bytes(), path_in_repo=FILE, repo_id=repo)
    api.upload_file(path_or_fileobj=card(record, repo).encode(), path_in_repo="README.md", repo_id=repo)
    return f"{PREFIX}{repo}"


def _same(one: Record | None, other: Record) -> bool:
    return one is not None and one.path.resolve() == other.path.resolve()


def card(record: Record, repo: str) -> str:
    """Return the text of a model card: data, objective, accuracies with their threat models, genotype, how to load."""
    blueprint = read_blueprint(record.path)
    config, result = record.config, record.result or {}
    data = str(config.get("data", {}).get("dataset", "its data"))
    beside = find_records(record.path.resolve().parent.parent)
    tests = [each for each in beside if each.stage == "evaluate" and each.result]
    own = [each for each in tests if _same(trained_by(each, beside), record)]
    tables = "\n\n".join(f"```text\n{ResultTable.of(each.result or {})}\n```" for each in own)
    attack = config.get("attack", {})
    lines = [
        "---", "library_name: advrush", "tags: [adversarial-robustness, image-classification]", "---", "",
        f"# {repo}", "",
        f"A network trained with [advrush](https://pypi.org/project/advrush/) on {data}: objective "
        f"`{config.get('objective', 'pgd')}`, {result.get('parameters', 0):,} parameters, "
        f"{blueprint.num_classes} classes, images of {blueprint.image_size} pixels in [0, 1].", "",
        "## Threat model", "",
        f"Trained against Linf, eps {attack.get('eps', 0.031):.4g}, {attack.get('steps', 7)} steps.", "",
        "## Accuracies", "", tables or "Not evaluated yet.", "",
        "## Architecture", "", f"```text\n{blueprint.arch}\n```", "",
        "## Use", "", f'```python\nfrom advrush import load\n\nmodel = load("{PREFIX}{repo}")\n```', "",
    ]  # fmt: skip
    return "\n".join(lines)
