"""Reproduction of the paper's tables and figures: what they need, what is there, how far it is from the printed."""
