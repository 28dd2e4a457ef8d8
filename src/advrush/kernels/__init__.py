"""Tensor functions that are faster than the library's on a CPU, with derivatives of any order; torch only."""
