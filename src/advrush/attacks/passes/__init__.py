"""How attacks call a model: in chunks, counted, on a faster copy with exact verdicts."""
