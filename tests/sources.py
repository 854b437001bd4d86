"""The source of the product, read for its structure and never run."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "watcher"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Use:
    """Something of another module, or built in, that is used at a line: `os.rename`, however it was imported."""

    name: str
    line: int

    def within(self, names: frozenset[str]) -> bool:
        """Whether it is one of *names*, or something inside one of them."""
        parts = self.name.split(".")
        return any(".".join(parts[:length]) in names for length in range(1, len(parts) + 1))


@dataclass(frozen=True)
class Module:
    """One file: *dotted* is its name as it is imported, *path* where it lies below the package."""

    dotted: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """What it says."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Everything in it."""
        return list(ast.walk(self.tree))

    @property
    def room(self) -> str:
        """The module or folder directly in the package that it belongs to; empty for the package's own file."""
        return [*self.dotted.split("."), ""][1]

    @cached_property
    def bound(self) -> dict[str, str]:
        """What each name that is bound by an import stands for."""
        names: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                names |= {
                    one.asname or _first(one.name): one.name if one.asname else _first(one.name) for one in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        return names

    def imports(self) -> Iterator[Use]:
        """Yield every dotted name that an import statement asks for; relative imports begin with a dot."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (Use(one.name, node.lineno) for one in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (Use(f"{'.' * node.level}{node.module}.{one.name}", node.lineno) for one in node.names)

    def rooms_imported(self) -> Iterator[tuple[str, int]]:
        """Yield each room of the package that is imported, its own excluded, with the line."""
        for use in self.imports():
            parts = use.name.split(".")
            if parts[0] == PACKAGE and len(parts) > 1 and parts[1] != self.room:
                yield parts[1], use.line

    def uses(self) -> Iterator[Use]:
        """Yield every use of something imported or built in; of `a.b.c` the whole chain, and then not its parts."""
        inner = {id(node.value) for node in self.nodes if isinstance(node, ast.Attribute)}
        for node in self.nodes:
            if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
                yield Use(self.named(node), node.lineno)

    def named(self, node: ast.expr) -> str:
        """Return the dotted name that *node* stands for; it begins with a dot if that is not known."""
        if isinstance(node, ast.Attribute):
            return f"{self.named(node.value)}.{node.attr}"
        if isinstance(node, ast.Name) and node.id in self.bound:
            return self.bound[node.id]
        return node.id if isinstance(node, ast.Name) and hasattr(builtins, node.id) else ""

    def handlers(self) -> Iterator[ast.ExceptHandler]:
        """Yield every `except`."""
        yield from (node for node in self.nodes if isinstance(node, ast.ExceptHandler))

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        yield from (node for node in self.nodes if isinstance(node, Function))

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield every class."""
        yield from (node for node in self.nodes if isinstance(node, ast.ClassDef))

    def calls(self) -> Iterator[ast.Call]:
        """Yield every call."""
        yield from (node for node in self.nodes if isinstance(node, ast.Call))


def modules() -> list[Module]:
    """Return every file of the package."""
    folder = ROOT / PACKAGE
    return [
        Module(_dotted(path), path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    ]


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _first(dotted: str) -> str:
    return dotted.partition(".")[0]
