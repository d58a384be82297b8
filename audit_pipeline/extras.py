"""What to install where packages of an extra are missing (pyproject.toml: ``optional-dependencies``)."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MissingExtraError", "extra", "install_line", "is_ours"]


class MissingExtraError(ModuleNotFoundError):
    """A part of this package was imported without the packages of its extra; the text says what to install."""


@contextmanager
def extra(name: str, part: str) -> Iterator[None]:
    """Around the imports of ``part``, which needs the extra: :class:`MissingExtraError` where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, MissingExtraError) or is_ours(error):
            raise
        raise MissingExtraError(install_line(name, part, error.name), name=error.name) from None


def install_line(name: str, part: str, missing: str | None) -> str:
    return f"{part} needs the extra {name!r} ({missing} is not installed): pip install 'audit-pipeline[{name}]'"


def is_ours(error: ModuleNotFoundError) -> bool:
    """Whether a module of this package is missing: then no extra would bring it."""
    return (error.name or "").partition(".")[0] == "audit_pipeline"
