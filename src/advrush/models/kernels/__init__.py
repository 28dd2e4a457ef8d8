"""Faster renderings of what the modules of a supernet compute; the modules themselves stay the oracle."""
