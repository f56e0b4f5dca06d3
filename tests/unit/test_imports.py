"""Imports point one way: what stands left in DESIGN.md's order never imports what stands right of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import nlp_transfer

PACKAGE = Path(nlp_transfer.__file__).parent
# A unit may import the units of the layers before its own, and itself. Units of one layer are siblings.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("disk", "resources", "findings", "arguments"),
    ("whole_files", "environment"),
    ("config", "runs"),
    ("data",),
    ("models",),
    ("evaluation",),
    ("training", "inference"),
    ("diagnostics",),
    ("reporting",),
    ("publishing",),
    ("evidence_files",),
    ("source_models", "related", "run_report", "earlier"),
    ("history",),
    ("chain", "making", "translation_preflight"),
    ("continuing", "guarding", "systems", "translation_systems"),
    ("evidence", "translation_evidence", "domain_texts"),
    ("stages",),
    ("task_run",),
    ("recipe",),
    ("sentiment_report", "translation_report"),
    ("sentiment", "translation"),
    ("recipes_by_task", "demos"),
    ("studies", "curve"),
    ("serving", "exporting"),
    ("commands",),
    ("cli",),
)
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}


def unit_of(module: str) -> str:
    """Return the part of the package that a module belongs to: `nlp_transfer.data.cards` is of `data`."""
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """List the modules of this package that a file imports, anywhere in it, but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            module = node.module or ""
            named = {f"{module}.{alias.name}" for alias in node.names}
            submodules = {
                name for name in named if (PACKAGE.parent / f"{name.replace('.', '/')}.py").is_file()
            }
            found |= submodules or {module}
    return {name for name in found if name.startswith("nlp_transfer.")}


def modules() -> dict[str, Path]:
    names = {
        path: path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
    }
    return {name: path for path, name in sorted(names.items()) if path != PACKAGE / "__init__.py"}


def test_every_module_has_its_place_in_the_order() -> None:
    assert {unit_of(name) for name in modules()} == set(RANK)


def test_no_module_imports_what_stands_right_of_it() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        for imported in sorted(imports_of(path))
        if unit_of(imported) != unit_of(name) and RANK[unit_of(imported)] >= RANK[unit_of(name)]
    ]
    assert wrong == []


def test_importing_the_package_costs_almost_nothing() -> None:
    heavy = ("torch", "numpy", "pydantic", "typer")
    script = f"import sys, nlp_transfer; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_the_public_names_are_found_where_they_are_promised() -> None:
    assert sorted(nlp_transfer.__all__) == nlp_transfer.__all__
    for name in nlp_transfer.__all__:
        assert getattr(nlp_transfer, name).__name__ == name
        assert name in dir(nlp_transfer)


def test_importing_a_module_neither_prints_nor_sets_up_logging() -> None:
    script = (
        "import importlib, logging, sys\n"
        "for name in sys.argv[1:]:\n    importlib.import_module(name)\n"
        "package = logging.getLogger('nlp_transfer')\n"
        "assert not package.handlers and package.level == logging.NOTSET\n"
    )
    names = [name for name in modules() if ".metrics." not in name]
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *names], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
