"""The law of the house: which package may import which, who owns a library, how big things are."""

from __future__ import annotations

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shipit

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(shipit.__file__).parent
AGENT = PACKAGE / "agent"

# What lies in shipit/, and what lies in shipit/agent/: each imports only what stands before it.
# Below that, the modules and packages of a folder import each other one way.
ORDER = (
    *("agent", "errors", "events"),
    *("secrets", "vault", "yaml_tags", "yaml_source"),
    *("inventory", "servers", "playbook", "render", "bundle", "project", "archive"),
    *("release", "lint", "audit"),
    *("transport", "rollout", "init", "commands"),
    *("output", "lab", "rehearsal", "cli", "__main__"),
)
AGENT_ORDER = (
    *("boot", "protocol", "system", "host", "records", "storage", "health", "activation"),
    *("transaction", "staging", "watch", "server", "__main__"),
)
SHARED = "agent.protocol"  # all that the controller knows of the agent

# Third-party libraries, each with the modules or the package that know it.
OWNERS: dict[str, tuple[str, ...]] = {
    "click": ("cli",),
    "cryptography": ("vault",),
    "cyclonedx": ("archive.sbom",),
    "dotenv": ("render.dotenv_file",),
    "fabric": ("transport",),
    "fsspec": ("archive.object_store",),
    "granian": ("servers.programs.granian_behind_socket",),
    "gunicorn": ("servers.programs.patient_gunicorn",),
    "jinja2": ("render",),
    "packageurl": ("archive.sbom",),
    "packaging": ("bundle", "project", "archive", "audit", "init"),
    "paramiko": ("transport",),
    "patient_uvicorn": ("servers.programs.patient_gunicorn",),
    "pydantic": ("playbook",),
    "rich": ("output.terminal",),
    "structlog": ("output.json_lines",),
    "uv": ("project.programs",),
    "uvicorn": ("servers.programs.patient_uvicorn",),
    "uvicorn_worker": ("servers.programs.patient_gunicorn",),
    "waitress": ("servers.programs.waitress_behind_socket",),
    "yaml": ("yaml_source", "yaml_tags"),
}

VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
LINES_OF_A_FILE = 400
LINES_OF_MOST_FUNCTIONS = 25
LINES_OF_ANY_FUNCTION = 60
SHARE_OF_MOST = 0.9
FILES_OF_A_FOLDER = 14  # besides __init__.py


def module_name(path: Path) -> str:
    names = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = {module_name(path): path for path in FILES}
AGENT_FILES = sorted(AGENT.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Give the dotted names that a file imports, those for type checkers too."""
    package = ("shipit", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            if origin.partition(".")[0] == "shipit":
                yield from (f"{origin}.{alias.name}" for alias in node.names)
            else:
                yield origin


def own_imports(module: str) -> set[str]:
    """Return the modules of ours that a module imports: `a.b` is a module or a name in `a`."""
    names = imports(SOURCES[module])
    dotted = {name.removeprefix("shipit.") for name in names if name.startswith("shipit.")}
    found = {name if name in SOURCES else name.rpartition(".")[0] for name in dotted}
    return {name for name in found if name in SOURCES and name}


def child_of(package: str, module: str) -> str:
    """Return in which child of a package a module lies: `ssh` for `transport.ssh.client`."""
    inside = module.removeprefix(f"{package}." if package else "")
    return inside.partition(".")[0]


def siblings(package: str) -> dict[str, set[str]]:
    """Return which children of a package import which others."""
    below = [m for m in SOURCES if m != package and (not package or m.startswith(f"{package}."))]
    found: dict[str, set[str]] = {}
    for module in filter(None, below):
        child = child_of(package, module)
        known = {child_of(package, name) for name in own_imports(module) if name in below}
        found[child] = found.get(child, set()) | known - {child}
    return found


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{path.stem}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize(("package", "order"), [("", ORDER), ("agent", AGENT_ORDER)])
def test_a_package_imports_only_packages_of_earlier_lines(
    package: str, order: tuple[str, ...]
) -> None:
    found = siblings(package)
    assert set(found) - set(order) == set(), "give it a place in the order"
    for child, known in found.items():
        later = known - set(order[: order.index(child)])
        assert later == set(), f"{child} imports what stands after it"


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_modules_and_packages_of_a_folder_import_each_other_one_way(folder: Path) -> None:
    package = module_name(folder / "__init__.py")
    try:
        TopologicalSorter(siblings(package)).prepare()
    except CycleError as error:
        pytest.fail(f"{' -> '.join(error.args[1])} is a circle")


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_has_few_files(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) - 1 <= FILES_OF_A_FOLDER


@pytest.mark.parametrize("module", [name for name in SOURCES if not name.startswith("agent")])
def test_the_controller_knows_of_the_agent_its_protocol_alone(module: str) -> None:
    of_agent = {name for name in own_imports(module) if name.startswith("agent")}
    assert {name for name in of_agent if not name.startswith(SHARED)} == set()


@pytest.mark.parametrize("module", SOURCES)
def test_a_library_is_known_to_its_owners_alone(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports(SOURCES[module])}
    for library in roots - sys.stdlib_module_names - {"shipit"}:
        assert library in OWNERS, f"{library} is unknown: give it a line in OWNERS"
        owners = OWNERS[library]
        assert any(module == owner or module.startswith(f"{owner}.") for owner in owners)


@pytest.mark.parametrize("path", AGENT_FILES, ids=name_of)
def test_the_agent_imports_only_the_standard_library_and_itself(path: Path) -> None:
    for name in imports(path):
        root = name.partition(".")[0]
        assert name.startswith("shipit.agent.") or root in sys.stdlib_module_names
    for node in ast.walk(tree(path)):  # under any name: the zip is not called shipit.agent
        if isinstance(node, ast.ImportFrom):
            assert node.level or (node.module or "").partition(".")[0] != "shipit"


PROGRAMS = [
    *sorted((PACKAGE / "servers/programs").glob("*.py")),
    PACKAGE / "transport/build_program.py",
]


@pytest.mark.parametrize("path", [*AGENT_FILES, *PROGRAMS], ids=name_of)
def test_what_runs_on_hosts_is_written_in_the_oldest_python_there(path: Path) -> None:
    ast.parse(path.read_text(), str(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_has_a_docstring_and_a_size_that_a_person_can_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_OF_A_FILE
    assert ast.get_docstring(tree(path)), "say what the module promises"
    assert path.stem not in VAGUE


def test_most_functions_are_short_and_none_is_long() -> None:
    sizes = {name: size for path in FILES for name, size in functions(path)}
    too_long = {name: size for name, size in sizes.items() if size > LINES_OF_ANY_FUNCTION}
    assert too_long == {}
    short = sum(size < LINES_OF_MOST_FUNCTIONS for size in sizes.values())
    assert short / len(sizes) >= SHARE_OF_MOST


SPEAKERS = {"cli.main", "output.console", "__main__"}


@pytest.mark.parametrize(
    "module", [m for m in SOURCES if m not in SPEAKERS and not m.startswith("agent")]
)
def test_only_the_output_prints_or_exits(module: str) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(tree(SOURCES[module]))
        if isinstance(node, ast.Call)
    }
    assert calls & {"print", "exit", "quit", "sys.exit", "os._exit"} == set()


def test_the_states_of_a_transaction_are_named_where_it_is_decided_and_done() -> None:
    naming = {
        name_of(path) for path in AGENT_FILES if re.search(r"\bState\.[A-Z]", path.read_text())
    }
    deciding = {f"agent/transaction/{name}.py" for name in ("states", "runner")}
    assert {path for path in naming if "/effects/" not in path} == deciding
