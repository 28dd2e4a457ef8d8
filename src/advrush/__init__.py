"""AdvRush."""
