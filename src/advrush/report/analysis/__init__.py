"""The report's sections of analysis runs: anatomy, curvature, landscapes, the path of Theorem 1."""
