"""Build, train, evaluate and explain the network; the only package that imports TensorFlow."""
