"""The network: built, trained, evaluated, looked into. The only package that imports TensorFlow."""
