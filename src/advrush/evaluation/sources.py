"""Networks from other sources by name: Python file or module, timm, the Hugging Face hub, RobustBench."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from advrush.config import check, did_you_mean
from advrush.errors import AdvrushError, kind_of
from advrush.models.entry import Entry
from advrush.models.normalize import Normalized
from advrush.models.weights.hub import download
from advrush.models.weights.saved import load
from advrush.reading.gate import reason

Found = tuple[nn.Module, str]
"""A network that takes [0, 1] pixels, unless it is one's own, and its label."""


def find_source(text: str) -> Found | None:
    """Return the network that a form of `SOURCES` or FILE.py:NAME names, None where the text is of no such form.

    Only what is named is loaded: a library asks its server for weights when it does not have them. Raises AdvrushError
    for a library that is not installed, or what is wrong with the network.
    """
    word, colon, rest = text.partition(":")
    if colon and word in SOURCES:
        check(bool(rest), "target", text, SOURCES[word][1])
        return SOURCES[word][0](rest)
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), name)
    if colon and word.isidentifier() and len(word) > 1 and not Path(text).exists():
        forms = ", ".join(form for _, form in SOURCES.values())
        hint = did_you_mean(word, SOURCES)
        raise AdvrushError(f"target {text!r}: unknown source {word!r}{hint}; expected a run, a file, {forms}")
    return None


def _from_module(text: str) -> Found:
    module_name, _, name = text.partition(":")
    check(bool(module_name and name) and ":" not in name, "target", f"python:{text}", SOURCES["python"][1])
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # of code of one's own
        raise _not_imported(f"python:{text}", module_name, error) from None
    return _network(module, name, f"python:{text}"), f"{module_name}:{name}"


def _from_file(path: Path, name: str) -> Found:
    text = f"{path}:{name}"
    if not path.is_file():
        raise AdvrushError(f"target {text!r}: {path}: no such file")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"_advrush_target_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # classes of the file can then be pickled and looked up
    folder = str(path.resolve().parent)  # a file beside it can be imported, as when it is run
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # as above
        raise _not_imported(text, str(path), error) from None
    finally:
        sys.path.remove(folder)
    return _network(module, name, text), f"{path.stem}:{name}"


def _not_imported(text: str, name: str, error: BaseException) -> AdvrushError:
    if isinstance(error, SystemExit):
        return AdvrushError(f"target {text!r}: importing {name} ends the program")
    return AdvrushError(f"target {text!r}: cannot import {name} ({reason(error)})")


def _network(module: ModuleType, name: str, text: str) -> nn.Module:
    """Return the network that a name of a module is, or makes when it is called without arguments."""
    if not hasattr(module, name):
        hint = did_you_mean(name, [known for known in vars(module) if not known.startswith("_")])
        where = module.__name__ if text.startswith("python:") else text.rpartition(":")[0]
        raise AdvrushError(f"target {text!r}: module {where} has no {name}{hint}")
    found: Any = getattr(module, name)
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise AdvrushError(
                f"target {text!r}: {name} is {kind_of(found)}, and cannot be called; expected an nn.Module "
                "or a factory of one"
            )
        try:
            found = found()
        except AdvrushError:
            raise
        except (Exception, SystemExit) as error:  # of code of one's own
            raise AdvrushError(
                f"target {text!r}: {name}() fails ({type(error).__name__}: {reason(error)}); expected a function "
                "without arguments that returns an nn.Module"
            ) from None
    check(isinstance(found, nn.Module), "target", text, f"a factory of an nn.Module (it gave {type(found).__name__})")
    network: nn.Module = found
    return network


def _from_timm(name: str) -> Found:
    timm = _library("timm", "timm")
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # timm and its downloads raise errors of many kinds, all about this name
        raise AdvrushError(f"target 'timm:{name}': cannot be loaded ({error})") from None
    told = getattr(model, "pretrained_cfg", None) or {}
    mean, std = told.get("mean"), told.get("std")
    return (Normalized(model, mean, std) if mean and std else model), f"timm:{name}"


def _from_hub(name: str) -> Found:
    """Return a network that `push_to_hub` wrote, or one of the library transformers that tells images apart."""
    check(name.count("/") == 1 and all(name.split("/")), "target", f"hf:{name}", SOURCES["hf"][1])
    if (own := download(name)) is not None:
        return load(own), f"hf:{name}"
    transformers = _library("transformers", "hub")
    try:
        model = transformers.AutoModelForImageClassification.from_pretrained(name)
        processor = transformers.AutoImageProcessor.from_pretrained(name)
    except Exception as error:  # as above
        raise AdvrushError(f"target 'hf:{name}': cannot be loaded ({error})") from None
    logits = Entry(model, "logits")
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    return (Normalized(logits, mean, std) if mean and std else logits), f"hf:{name}"


def _from_robustbench(text: str) -> Found:
    """Return a network of RobustBench's zoo: NAME, or NAME/DATA/THREAT (cifar10 and Linf unless given)."""
    name, *rest = text.split("/")
    data, threat = (*rest, *("cifar10", "Linf")[len(rest) :])[:2]
    utils = _library("robustbench.utils", "robustbench")
    try:
        model: nn.Module = utils.load_model(model_name=name, dataset=data, threat_model=threat)
    except Exception as error:  # as above
        raise AdvrushError(f"target 'robustbench:{text}': cannot be loaded ({error})") from None
    return model, f"robustbench:{name}"


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        library = name.partition(".")[0]
        raise AdvrushError(f"{library} is not installed: pip install 'advrush[{extra}]'") from None


SOURCES: dict[str, tuple[Callable[[str], Found], str]] = {
    "python": (_from_module, "python:MODULE:FACTORY, such as python:my_models:resnet"),
    "timm": (_from_timm, "timm:NAME"),
    "hf": (_from_hub, "hf:USER/REPO"),
    "robustbench": (_from_robustbench, "robustbench:NAME or robustbench:NAME/DATA/THREAT"),
}
"""Each form by the word in front of the colon: its loader, and how it is written."""
