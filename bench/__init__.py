"""Speed and memory beside DuckDB's and a plain Spark job's: the same raw bytes, in one run (``python -m bench``).

A benchmark is not a test: it prints figures and ratios, and passes whatever they are.
"""
