"""Sources of data sets: places in the network, and the forms of a user's own files."""
