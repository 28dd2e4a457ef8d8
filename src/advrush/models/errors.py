"""The error for weights and exports."""

from advrush.errors import AdvrushError


class ModelError(AdvrushError):
    """Refuse weights that do not fit a network, or an export that can not be written or differs from it."""
