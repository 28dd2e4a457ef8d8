"""Section "Adversarial examples": attacked images beside the originals, with the difference amplified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from advrush.report.labels import attack_label
from advrush.report.names import model_names
from advrush.report.pictures import amplification, examples
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section
from advrush.report.sections.robustness import finished

SHOWN = 6
"""Attacked images shown for each model."""


def examples_body(evaluations: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return attacked images of every model: clean, adversarial, amplified difference, predictions."""
    names = model_names(evaluations, records)
    models = []
    for record in evaluations:
        tensors, result = record.tensors("examples.safetensors"), record.result or {}
        if tensors:
            targeted = [{"name": row["name"], "robust_acc": 0} for row in result.get("targeted", ())]
            attacks = result.get("attacks") or targeted or [{"name": "attack", "robust_acc": 0}]
            strongest = min(attacks, key=lambda attack: attack["robust_acc"])["name"]
            shown = examples(tensors, result.get("classes") or ())[:SHOWN]
            models.append((names[record.path], strongest, amplification(tensors), shown))
    return render("examples.html.j2", models=models)


def numbers(record: Record) -> Mapping[str, str]:
    """Return the attack that made the examples."""
    return {"attack": attack_label(str(record.config.get("attack")))}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of the evaluations that kept attacked images."""
    if pictured := [record for record in finished(records) if (record.path / "examples.safetensors").is_file()]:
        yield Section("examples", "Adversarial examples", examples_body(pictured, records, render))


EXAMPLES = Chapter(sections, kind="examples", numbers=numbers)
