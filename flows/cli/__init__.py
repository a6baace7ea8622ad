"""Command lines: options to flows."""
