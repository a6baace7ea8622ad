"""Live network of the report page: its payload and its scripts.

The scripts are plain modules with their types in comments; with Node, they are checked by
`npx --package typescript@5.9.3 tsc -p tasks/report/live`. They need no building: `assemble` joins
them into one.
"""
