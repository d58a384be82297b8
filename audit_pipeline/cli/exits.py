"""What the exit code of a command says to a script."""

from enum import IntEnum
from typing import Final

from audit_pipeline.errors import AuditPipelineError, GraceMismatchError, PartitionBusyError, SettingsError

__all__ = ["MEANINGS", "ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """The exit codes of all commands; :data:`MEANINGS` explains them."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2
    BUSY = 3
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "everything was done",
    ExitCode.FAILED: "a day failed, or the work could not be done; warnings do not count",
    ExitCode.WRONG_USE: "the command line or a setting is wrong",
    ExitCode.BUSY: "another run holds the partition: try again when it has ended",
    ExitCode.INTERRUPTED: "interrupted; the days that were finished stay finished",
}


def exit_code_of(error: AuditPipelineError) -> ExitCode:
    # a ValueError is what a question breaks a rule with
    if isinstance(error, SettingsError | GraceMismatchError | ValueError):
        return ExitCode.WRONG_USE
    return ExitCode.BUSY if isinstance(error, PartitionBusyError) else ExitCode.FAILED
