"""Comparisons with other ways to do the same job, run by hand: `make benchmarks`."""
