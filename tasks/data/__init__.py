"""From the sources to the three splits."""
