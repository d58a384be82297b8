"""Errors of a query itself, raised before anything is sent."""

from audit_pipeline.errors import AuditPipelineError

__all__ = ["CursorError", "InvalidQueryError"]


class InvalidQueryError(AuditPipelineError, ValueError):
    """A field of a query breaks a rule or a limit; ``field`` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class CursorError(InvalidQueryError):
    """A cursor that no client with this key created, or that belongs to other filters."""

    def __init__(self, problem: str) -> None:
        super().__init__("cursor", problem)
