"""Looks into a trained network, each a stage of its own."""
