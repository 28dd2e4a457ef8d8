"""The report's sections for benchmarks: searches and predictors judged by a table."""
