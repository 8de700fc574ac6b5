"""The shape of the house: who may import whom.

``wire <- session <- service <- transport``, one way. What a layer must not know, it cannot import.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import gitserve
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python/gitserve"

FOR_ALL = {"gitserve", "errors", "options", "policy", "record"}
"""What everyone may know; itself knows nothing of the others."""

MAY_IMPORT = {
    "record": set(),
    "errors": {"dropin", "record"},  # when dulwich's names are asked of it, and not before
    "policy": {"record"},
    "options": {"errors", "policy", "record"},
    "wire": FOR_ALL,
    "session": FOR_ALL | {"wire"},
    "repository": FOR_ALL | {"_core"},
    "archiving": FOR_ALL | {"repository", "_core"},
    "service": FOR_ALL | {"wire", "session", "repository", "archiving", "_core"},
    "transport": FOR_ALL | {"wire", "session", "repository", "service"},
}
"""The layers. Every other module of the package stands on top: nothing below may import it."""


def part_of(path: Path) -> str:
    """``wire`` for ``gitserve/wire/pktline.py``, ``errors`` for ``gitserve/errors.py``."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0].removesuffix(".py") if inside != ("__init__.py",) else "gitserve"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of every import of the package's own, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            names = [module]
            if module == "gitserve":
                names = [f"gitserve.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "gitserve":
                part = rest.split(".")[0]
                yield node.lineno, "gitserve" if part.startswith("__") or not part else part


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_layer_is_there() -> None:
    parts = {part_of(path) for path in SOURCES}
    assert set(MAY_IMPORT) <= parts


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part == "gitserve":
        assert not list(imports(path)), "importing the package must load nothing else"
        return
    allowed = MAY_IMPORT.get(part)
    if allowed is None:
        return
    for line, imported in imports(path):
        assert imported in allowed | {part}, f"{path}:{line}: {part} must not know {imported}"


IO_MODULES = {"socket", "socketserver", "selectors", "asyncio", "ssl", "http", "subprocess"}


@pytest.mark.parametrize("part", ["wire", "session"])
def test_protocol_does_no_io(part: str) -> None:
    for path in sorted((PACKAGE / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found = {name.split(".")[0] for name in names} & (IO_MODULES | {"os", "pathlib"})
            assert not found, f"{path}: imports {found}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "open", f"{path}:{node.lineno}: opens a file"


def test_only_the_bindings_name_pyo3() -> None:
    for path in sorted((ROOT / "rust/src").rglob("*.rs")):
        if (ROOT / "rust/src/py") in path.parents:
            continue
        assert not re.search(r"\bpyo3\b", path.read_text()), f"{path} names pyo3"


def test_no_file_hides_a_stage() -> None:
    for path in [*SOURCES, *(ROOT / "rust/src").rglob("*.rs")]:
        code = path.read_text().split("#[cfg(test)]")[0]
        assert code.count("\n") <= 500, f"{path} is longer than 500 lines"
        assert path.stem != "utils", path


def test_one_version() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert gitserve.__version__ == cargo["package"]["version"]
