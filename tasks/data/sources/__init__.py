"""Places that may have the four IDX files, one module for each kind."""
