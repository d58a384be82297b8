"""Where things lie in the repository."""

from pathlib import Path
from typing import Final

__all__ = ["DATA", "DOCS", "EXAMPLES", "RAW_EXAMPLES", "REPOSITORY", "SUPPORT"]

REPOSITORY: Final = Path(__file__).parents[2]
DOCS: Final = REPOSITORY / "docs"
DATA: Final = REPOSITORY / "tests" / "data"
#: Raw hour folders with what the design makes of them.
EXAMPLES: Final = DATA / "examples"
RAW_EXAMPLES: Final = EXAMPLES / "raw"
#: Programs that tests run in processes of their own.
SUPPORT: Final = REPOSITORY / "tests" / "support"
