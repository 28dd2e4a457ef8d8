"""Ensembles of attacks: rounds, order, random streams, resume, results and checks."""
