"""The exercises: studies as plain values, and what follows from their runs."""
