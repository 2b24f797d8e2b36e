"""The import rules of the house, read from the source, and what importing the package costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("neq", "workflows", "cluster")

ALLOWED_INSIDE = {
    "neq.kernels": {"neq.kernels"},
    "neq.estimators": {"neq.estimators", "neq.kernels", "neq.spikes", "neq.observables", "neq.seeds", "neq.errors"},
    "neq.models": {"neq.models", "neq.kernels", "neq.spikes", "neq.seeds", "neq.errors"},
    "neq.ising": {"neq.ising", "neq.kernels", "neq.spikes", "neq.seeds", "neq.errors"},
}
"""What a part of neq may import of neq; design of the house. Parts that are not named here may import any."""

ALLOWED_OUTSIDE = {
    "neq.kernels": {"numpy", "numba"},
    "neq.estimators": {"numpy", "scipy"},
    "neq.models": {"numpy", "scipy"},
    "neq.ising": {"numpy", "scipy"},
}
XARRAY = ("neq.spikes", "neq.variables", "neq.figures", "neq.runs", "neq.samples", "neq.summary")
"""Where a Dataset is the interface."""
FORBIDDEN = {
    "neq": {
        "dask",
        "distributed",
        "dask_jobqueue",
        "zarr",
        "typer",
        "rich",
        "workflows",
        "cluster",
    },
    "cluster": {"neq", "workflows"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def type_checking_lines(tree):
    """Lines under ``if TYPE_CHECKING``, which are never run."""
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {line for node in guarded for line in range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)}


def imports(name, *, top_level=False):
    """Full names of what a module imports when it runs; with ``top_level`` only what importing it imports."""
    path = SOURCES[name]
    tree = ast.parse(path.read_text())
    skipped = type_checking_lines(tree)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or node.lineno in skipped:
            continue
        if top_level and id(node) in inside:
            continue
        found |= targets(node, name, is_package=path.name == "__init__.py")
    return found


def targets(node, name, *, is_package):
    """What one import statement names: a module where there is such a file, else the module that holds the name."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    parts = name.split(".") if is_package else name.split(".")[:-1]
    base = parts[: len(parts) - node.level + 1] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    return {full if (full := f"{module}.{alias.name}") in SOURCES else module for alias in node.names}


def within(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def part_of(name, table):
    return next((part for part in table if within(name, [part])), None)


@pytest.mark.parametrize("name", [name for name in SOURCES if part_of(name, ALLOWED_INSIDE)])
def test_imports__parts_of_neq_keep_to_their_neighbours(name):
    part = part_of(name, ALLOWED_INSIDE)
    outside = ALLOWED_OUTSIDE[part] | ({"torch"} if within(name, ["neq.estimators.neural"]) else set())
    for target in imports(name):
        top = target.split(".")[0]
        if top == "neq":
            assert within(target, ALLOWED_INSIDE[part]), f"{name} imports {target}"
        else:
            assert top in outside | set(sys.stdlib_module_names), f"{name} imports {target}"


@pytest.mark.parametrize("name", list(SOURCES))
def test_imports__layers_point_one_way(name):
    package = name.split(".")[0]
    for target in imports(name):
        assert target.split(".")[0] not in FORBIDDEN.get(package, set()), f"{name} imports {target}"


@pytest.mark.parametrize("name", list(SOURCES))
def test_imports__torch_only_in_the_neural_estimators(name):
    if not within(name, ["neq.estimators.neural"]):
        assert not any(within(target, ["torch"]) for target in imports(name))


@pytest.mark.parametrize("name", [name for name in SOURCES if within(name, ["neq"])])
def test_imports__xarray_only_where_a_dataset_is_the_interface(name):
    if not within(name, XARRAY):
        assert not any(within(target, ["xarray"]) for target in imports(name))


def test_imports__no_cycles():
    """Of modules that import each other while they are imported; packages stand for their ``__init__``."""
    graph = {name: {target for target in imports(name, top_level=True) if target in SOURCES} for name in SOURCES}
    done: set[str] = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            done.add(name)

    for name in SOURCES:
        visit(name, [])


def test_imports__relative_names_are_resolved():
    """The test's own reading of the source, on a module known to have each kind of import."""
    assert "neq.kernels._jit" in imports("neq.kernels.glauber")
    assert {"neq.kernels.glauber", "numpy", "scipy"} <= imports("neq.models.sampling")


PROBE = """
import json, sys, time
import numba.core.dispatcher
compiled = []
original = numba.core.dispatcher.Dispatcher.compile
def note(self, *args, **kwargs):
    compiled.append(self.py_func.__qualname__)
    return original(self, *args, **kwargs)
numba.core.dispatcher.Dispatcher.compile = note
import neq
heavy = {"torch", "dask", "distributed", "zarr", "matplotlib"} & {name.split(".")[0] for name in sys.modules}
print(json.dumps({"compiled": compiled, "heavy": sorted(heavy)}))
"""


def test_import_neq__compiles_nothing_and_stays_light():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) == {"compiled": [], "heavy": []}
