"""Functions that draw matplotlib figures from arrays.

They are pure and use no global state (no pyplot), so stages can draw in several threads at the
same time.
"""

from tasks.report.figures.canvas import save

__all__ = ["save"]
