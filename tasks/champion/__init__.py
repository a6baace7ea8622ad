"""The model in use: compared with challengers, kept with its history, asked about images."""
