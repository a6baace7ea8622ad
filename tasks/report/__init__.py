"""Figures, page and Prefect artifacts. The only package that imports matplotlib."""
