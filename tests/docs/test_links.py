"""Every page, file and heading that the documents point to is there, and every page is reached from the README."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import DOCS, REPOSITORY

PAGES: Final = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
#: Folders of the repository that a document or a comment names by path.
_FOLDERS: Final = "audit_pipeline|aws|bench|deploy|docs|examples|tests|tools"


def prose(page: Path) -> str:
    """Its text without blocks of code, whose brackets are not links."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file (or folder) and the heading's anchor of each link to this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target.name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    # a tag of Dagster, `audit_pipeline/late_files`, is not a path: a file has a suffix, and a folder ends in a slash
    for path in re.findall(rf"`((?:{_FOLDERS})/(?:[\w./-]*\.\w+|(?:[\w.-]+/)*))`", prose(page)):
        assert (REPOSITORY / path).exists(), path


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead += [target for target, _ in links(page) if target.suffix == ".md" and target not in reached]
    assert set(PAGES) <= reached


def test_every_page_that_a_file_of_the_repository_names_is_there() -> None:
    folders = [REPOSITORY / name for name in (*_FOLDERS.split("|"), ".github")]
    files = [file for folder in folders for suffix in ("py", "yaml", "yml") for file in folder.rglob(f"*.{suffix}")]
    files += [REPOSITORY / name for name in ("Makefile", "deploy/Dockerfile", ".ci/run")]
    for file in files:
        if "node_modules" not in file.parts:
            for page in re.findall(r"docs/[\w./-]+\.md", file.read_text(encoding="utf-8")):
                assert (REPOSITORY / page).is_file(), f"{file.relative_to(REPOSITORY)} names {page}"


def test_every_extra_that_a_page_installs_is_the_projects() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for page in PAGES:
        for names in re.findall(r"(?:audit-pipeline|\.)\[([\w,]+)\]", page.read_text(encoding="utf-8")):
            assert set(names.split(",")) <= extras.keys(), f"{named(page)}: {names}"
