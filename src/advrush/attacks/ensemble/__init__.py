"""Running attacks, single ones and ensembles: the loop, rounds, order, random streams, resume, results and checks."""
