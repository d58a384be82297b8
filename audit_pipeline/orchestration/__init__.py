"""Dagster: the only part of the package, with ``definitions.py``, that imports it."""
