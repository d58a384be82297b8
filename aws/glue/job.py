"""The script of the Glue job; all that it does is in the package's wheel."""

import sys

from audit_pipeline.engines.glue.job import main

if code := main(sys.argv[1:]):
    sys.exit(code)  # with 0, too, some versions of Glue take it for a failure
