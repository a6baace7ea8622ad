"""Ways to train the same network, each a script that knows nothing of the others."""
