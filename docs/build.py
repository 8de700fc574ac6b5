"""Builds the documentation: the package's reference and the documents of this folder.

In: an output folder. Out: HTML in it, ``index.html`` first. pdoc reads the docstrings; the Markdown
documents become the introduction of the package's page and pages beside it.
"""

from __future__ import annotations

import html
import sys
from pathlib import Path

import markdown2
import pdoc
import pdoc.render

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = {
    "readme": ROOT / "README.md",
    "tutorial": ROOT / "docs/tutorial.md",
    "policies": ROOT / "docs/POLICIES.md",
    "compatibility": ROOT / "docs/COMPATIBILITY.md",
    "durability": ROOT / "docs/DURABILITY.md",
    "security": ROOT / "docs/SECURITY.md",
    "architecture": ROOT / "docs/ARCHITECTURE.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "changelog": ROOT / "CHANGELOG.md",
}
PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>gitserve: {title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 sans-serif }}
pre {{ background: #f4f4f4; padding: .7rem; overflow-x: auto }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .2rem .6rem }}
</style>
<nav>{links}</nav>
{body}
"""


def main(out: Path) -> None:
    """Writes everything below ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    pdoc.render.configure(docformat="restructuredtext", footer_text="gitserve")
    pdoc.pdoc("gitserve", output_directory=out / "api")
    links = " | ".join(f'<a href="{name}.html">{name}</a>' for name in DOCUMENTS)
    links += ' | <a href="api/gitserve.html">api</a> | <a href="core/_core/index.html">core</a>'
    for name, path in DOCUMENTS.items():
        body = markdown2.markdown(path.read_text(), extras=["tables", "fenced-code-blocks"])
        page = PAGE.format(title=html.escape(name), links=links, body=body)
        (out / f"{name}.html").write_text(page)
    (out / "index.html").write_text((out / "readme.html").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
