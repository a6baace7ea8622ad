"""Processes, logs, errors and servers; knows nothing of stages."""
