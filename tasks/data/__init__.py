"""Data: sources, download, conversion to three splits."""
