"""The live network of the report page: what it carries, and the scripts that bring it to life."""
