"""Figures, page and Prefect artifacts of a run."""
