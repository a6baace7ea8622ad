"""Flows: the stages that run, in their order."""
