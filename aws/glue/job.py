"""The script of the Glue job; its code is in the wheel of the package."""

import sys

from audit_pipeline.engines.glue.job import main

if code := main(sys.argv[1:]):
    sys.exit(code)  # some versions of Glue take sys.exit(0) for a failure too
