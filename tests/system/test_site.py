"""The site of the documentation: it builds with every link and anchor checked, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
IMPORTED = re.compile(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//[^\"')]*")


def mkdocs(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    config = str(root / "infra/docs/mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", str(site)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={"NO_MKDOCS_2_WARNING": "1"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = mkdocs(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = "index.html" if page.name == "README.md" else f"{page.stem}.html"
        assert (site / page.parent.relative_to(ROOT / "docs") / name).exists(), page


def test_what_pages_link_to_comes_along(site: Path) -> None:
    assert "who tells whom" in (site / "repository/shared/hearthmind/flow.py.html").read_text()
    assert (site / "repository/CONTRIBUTING.html").exists()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not (found := OUTSIDE.findall(page.read_text())), (page, found)
    for style in site.rglob("*.css"):
        assert not (found := IMPORTED.findall(style.read_text())), (style, found)


def test_words_are_found_without_a_network(site: Path) -> None:
    assert "inbox" in (site / "search/search_index.json").read_text()


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a page](nowhere.md)", "nowhere.md"),
        ("[a place](#nowhere)", "#nowhere"),
        ("[code](../shared/nowhere.py)", "nowhere.py"),
        ("[a place in the code's page](../NOTES.md#nowhere)", "#nowhere"),
    ],
)
def test_a_broken_link_is_refused(link: str, complaint: str, folder: Path) -> None:
    shutil.copytree(ROOT / "infra/docs", folder / "infra/docs")
    (folder / "docs").mkdir()
    (folder / "docs/index.md").write_text(f"# A house of one page\n\n{link} [and a good one](../NOTES.md)\n")
    (folder / "NOTES.md").write_text("# Notes\n")
    config = folder / "infra/docs/mkdocs.yml"
    config.write_text(re.sub(r"\nnav:.*", "\nnav: [index.md]\n", config.read_text(), flags=re.DOTALL))
    built = mkdocs(folder, folder / "site")
    assert built.returncode == 1
    (warning,) = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    assert complaint in warning
