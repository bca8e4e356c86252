"""What makes `docs/` a site as well as a folder that is read on a forge.

A page links to any file of the repository by its relative path, as a forge wants it. What is linked comes along into the
site, below `repository/`: Markdown as a page of its own, any other text as a page that shows it, a folder as a list. What is
not there stays a broken link, which mkdocs refuses. In the navigation `folder/*` stands for the pages not named otherwise.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = "repository"

_LINK = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)|`[^`\n]*`|(?<=\]\()(?P<to>[^)\s:#]+)(?=[)#])", re.MULTILINE | re.DOTALL
)
"""A link's target; code is matched first, so that what stands in it is none."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills in the navigation."""
    named = set(_pages(config.nav))
    config.nav = _filled(config.nav, named)
    return config


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(each)


def _filled(nav: Any, named: set[str]) -> Any:
    if isinstance(nav, dict):
        return {title: _filled(each, named) for title, each in nav.items()}
    if not isinstance(nav, list):
        return nav
    filled: list[Any] = []
    for each in nav:
        if isinstance(each, str) and each.endswith("/*"):
            found = (path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob(f"{each}.md")))
            filled += [page for page in found if page not in named]
        else:
            filled.append(_filled(each, named))
    return filled


PICTURES = (".png", ".svg")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Brings along what pages link to, and what those link to."""
    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    brought: set[Path] = set()
    while waiting:
        page = waiting.pop()
        for target in _targets(page):
            if target.is_relative_to(DOCS) or target in brought or not target.is_relative_to(ROOT):
                continue
            brought.add(target)
            if target.suffix in PICTURES:
                files.append(File.generated(config, uri_of(target), content=target.read_bytes()))
                continue
            shown = File.generated(config, uri_of(target), content=_shown(target))
            shown.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(shown)
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Points each link at where the site has its target."""
    uri = page.file.src_uri
    outside = uri.removeprefix(f"{ELSEWHERE}/")
    source = DOCS / uri if outside == uri else ROOT / outside

    def pointed(found: re.Match[str]) -> str:
        target = _target(source, found["to"]) if found["to"] else None
        return os.path.relpath(uri_of(target), Path(uri).parent) if target else found[0]

    return _LINK.sub(pointed, markdown)


def uri_of(target: Path) -> str:
    """Where the site has a file of the repository."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    path = f"{ELSEWHERE}/{target.relative_to(ROOT).as_posix()}"
    return path if target.suffix in {".md", *PICTURES} else f"{path}.md"


def _targets(page: Path) -> Iterator[Path]:
    for found in _LINK.finditer(page.read_text()):
        if found["to"] and (target := _target(page, found["to"])):
            yield target


def _target(page: Path, link: str) -> Path | None:
    """The file or folder that a link leads to, if it is there; a folder's README stands for it."""
    target = Path(os.path.normpath(page.parent / link))
    if target.is_dir():
        target = next((target / name for name in ("README.md", "index.md") if (target / name).exists()), target)
    return target if target.exists() else None


def _shown(target: Path) -> str:
    if target.suffix == ".md":
        return target.read_text()
    name = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        inside = sorted(path for path in target.iterdir() if path.name[0] not in "._" and path.name != "node_modules")
        return "\n".join([f"# `{name}/`", "", *(_line(path) for path in inside)])
    return f"# `{name}`\n\n`````{target.suffix[1:] or 'sh'}\n{target.read_text()}\n`````\n"


def _line(path: Path) -> str:
    """A file and what its docstring says first."""
    says = ast.get_docstring(ast.parse(path.read_text())) if path.suffix == ".py" else None
    return f"- `{path.name}{'/' if path.is_dir() else ''}`" + (f": {says.partition(chr(10))[0]}" if says else "")
