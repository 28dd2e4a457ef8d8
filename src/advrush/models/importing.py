"""The former place of `import_network`, kept for programs that import it from here."""

from advrush.models.weights.import_darts import import_network as import_network

__all__ = ["import_network"]
