"""The exercises: variants, their runs, comparisons, and the page."""
