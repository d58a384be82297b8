"""``python -m audit_pipeline.cli``."""

from audit_pipeline.cli import main

main()
