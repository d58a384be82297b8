"""The Spark engine as an AWS Glue job: ``engine`` starts and watches it, ``job`` is what runs there.

Nothing is imported here: the job has no boto3 of its own to need, and who starts it has no pyspark.
"""
