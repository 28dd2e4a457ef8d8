"""Networks on the Hugging Face hub: one safetensors file with the blueprint in its metadata."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from advrush.models.errors import ModelError

FILE = "advrush.safetensors"
"""Name of the network's file in its repository."""
PREFIX = "hf:"


def library() -> Any:
    """Return huggingface_hub. Raises ModelError where it is not installed."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise ModelError("huggingface_hub is not installed: pip install 'advrush[hub]'") from None


def download(name: str) -> Path | None:
    """Return the file of a repository USER/REPO that `push_to_hub` wrote, None where the repository has no such file.

    The library keeps what it has downloaded. Raises ModelError where the hub cannot be asked or has no such repository.
    """
    hub = library()
    try:
        return Path(hub.hf_hub_download(name, FILE))
    except hub.errors.LocalEntryNotFoundError as error:  # offline, and not downloaded before
        raise ModelError(f"{PREFIX}{name}: the hub cannot be reached ({error})") from None
    except hub.errors.EntryNotFoundError:
        return None
    except hub.errors.RepositoryNotFoundError:
        raise ModelError(f"{PREFIX}{name}: the hub has no such repository, or it is not open to you") from None
    except (OSError, ValueError) as error:  # of the connection; or a name that is none
        raise ModelError(f"{PREFIX}{name}: cannot be downloaded ({error})") from None
