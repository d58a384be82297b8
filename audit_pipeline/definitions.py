"""What Dagster loads: ``workspace.yaml``, ``dagster_cloud.yaml`` and ``[tool.dg]`` name this module."""

from audit_pipeline.extras import extra

with extra("pipeline", "audit_pipeline.definitions"):
    from audit_pipeline.orchestration.build import build_defs

__all__ = ["build_defs", "defs"]

defs = build_defs()
