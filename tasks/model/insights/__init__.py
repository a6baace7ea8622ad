"""Insights into a trained network: one stage per module."""
