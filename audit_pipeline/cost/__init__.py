"""What the pipeline costs in AWS: for a workload to come, and for a day that has run.

Pure but for the reading of the price file. Money and quantities are :class:`decimal.Decimal`, never floats; a month has
30 days. Free allowances and discounts are not counted, nor are taxes and data transfer (within a region there is none).
"""

__all__: list[str] = []
