"""Errors that a user can act on: the command line prints their message and exits with code 2."""


class AdvrushError(Exception):
    """Stop with a message for the user: what was wrong, where, and what would be right."""


class ConfigError(AdvrushError):
    """Refuse a configuration value or name."""


class DataError(AdvrushError):
    """Refuse a data set that is absent, truncated or not what it claims to be."""


class GenotypeError(AdvrushError):
    """Refuse a malformed genotype, naming the cell and the edge."""


class RunError(AdvrushError):
    """Refuse a run directory, or stop a run that can not go on (non-finite loss, out of memory)."""


class ModelContractError(AdvrushError):
    """Refuse a model that does not map images in [0, 1] to one row of finite logits each."""


def kind_of(value: object) -> str:
    """Return what a value is, for a message: "a dict", "an int"."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
