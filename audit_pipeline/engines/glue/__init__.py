"""The Spark engine as an AWS Glue job: ``engine`` starts and watches the job, ``job`` is what runs in Glue.

Nothing is imported here: the job does not need the engine's imports, and the engine has no pyspark.
"""
