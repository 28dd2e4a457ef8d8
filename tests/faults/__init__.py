"""A driver of faults: kills, damaged files and full disks, each compared with what an undisturbed run gives.

`python -m tests.faults --kills 200` runs the long form; `--short` the one that the test suite runs.
"""
