"""The law of the house: which module may import which, who owns a library, how big things are."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shipit

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(shipit.__file__).parent
AGENT = PACKAGE / "agent"


def parts(package: str, names: str) -> tuple[str, ...]:
    """Return the modules of a package in order, its face last."""
    return (*(f"{package}.{name}" for name in names.split()), package)


# A module imports only modules that stand before it here, within its layer too. A package's own
# name is its face (__init__.py), which stands after its parts.
LAYERS: dict[str, tuple[str, ...]] = {
    "words": ("errors", "events", "secret"),
    "input": (
        "vault",
        "yamltags",
        "yamlfile",
        *parts("inventory", "hostnames grouping patterns ini scripts formats ansiblecfg varsfiles"),
        *parts(
            "spec",
            "shell words places calendars headers values health models rules foreign telling",
        ),
        "spec.reference",
    ),
    "matter": (
        *parts(
            "bundle",
            "target layout wheel locked locktext requirementsfile tomllocks toollocks lockfile "
            "stock",
        ),
        *parts(
            "transport",
            "agentzip sshargs endpoint hostkeys sshconfig proxycommand settings algorithms login "
            "negotiation refusals watch ssh launch wire bulk",
        ),
    ),
    "text": parts("render", "envfile dotenvfile ansiblefilters templating hostvars unitnames"),
    "decision": (
        "phase",
        "appservers",
        "serveroptions",
        "repairs",
        "plan",
        "rollbacks",
        "programs",
        "wishes",
        "manifest",
        "release",
        "session",
        "assignment",
    ),
    "drive": ("rollout", "fleet", "offers"),
    "use cases": ("deploy", "attach", "adopt", "look", "doctor"),
    "faces": parts(
        "faces",
        "printable masking wording outlet board layout quoting frames reports jsonlines console",
    ),
    "rehearsal": (
        *parts("lab", "image claim machine"),
        *parts(
            "rehearse",
            "acts casting machines nspawn following vagrant playbill page recording stage "
            "glance spectator pulse customers ledgers faults",
        ),
    ),
    "entry": ("options", "usecases", "conduct", "parameters", "passwordoptions", "cli", "__main__"),
}

# What both sides know of the agent.
SHARED = ("agent.protocol", "agent.contents", "agent.generations", "agent.masking", "agent.records")

# Third-party libraries, each with the one module or package that knows it.
OWNERS: dict[str, tuple[str, ...]] = {
    "click": ("cli", "parameters", "passwordoptions"),
    "cryptography": ("vault",),
    "dotenv": ("render.dotenvfile",),
    "fabric": ("transport",),
    "jinja2": ("render",),
    "packaging": ("bundle",),
    "paramiko": ("transport",),
    "pydantic": ("spec",),
    "rich": ("faces.console",),
    "structlog": ("faces.jsonlines",),
    "yaml": ("yamlfile", "yamltags"),
}

VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
LINES_OF_A_FILE = 400
LINES_OF_MOST_FUNCTIONS = 25
LINES_OF_ANY_FUNCTION = 60
SHARE_OF_MOST = 0.9


def module_name(path: Path) -> str:
    names = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


SOURCES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if AGENT not in path.parents and path != PACKAGE / "__init__.py"
}
MODULES = list(SOURCES)
AGENT_MODULES = sorted(path.stem for path in AGENT.glob("*.py"))
FILES = sorted(PACKAGE.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Give the dotted names that a file imports, those for type checkers too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            if origin.partition(".")[0] == "shipit":
                yield from (f"{origin}.{alias.name}" for alias in node.names)
            else:
                yield origin


def own_imports(module: str) -> set[str]:
    """Return the modules of ours that a module imports: `a.b` is a module or a name in `a`."""
    names = imports(SOURCES[module])
    dotted = {name.removeprefix("shipit.") for name in names if name.startswith("shipit.")}
    known = {*SOURCES, *SHARED}
    return {name if name in known else name.rpartition(".")[0] or name for name in dotted} - {
        "__version__"
    }


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{path.stem}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_modules_of_earlier_lines(module: str) -> None:
    order = [name for layer in LAYERS.values() for name in layer]
    assert module in order, f"{module} is unknown: give it a line in LAYERS"
    allowed = {*order[: order.index(module)], *SHARED}
    assert own_imports(module) - allowed == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_library_is_known_to_its_owners_alone(module: str) -> None:
    roots = {name.partition(".")[0] for name in imports(SOURCES[module])}
    libraries = roots - sys.stdlib_module_names - {"shipit"}
    for library in libraries:
        assert library in OWNERS, f"{library} is unknown: give it a line in OWNERS"
        assert {module, module.partition(".")[0]} & set(OWNERS[library])


@pytest.mark.parametrize("module", AGENT_MODULES)
def test_the_agent_imports_only_the_standard_library_and_itself(module: str) -> None:
    for name in imports(AGENT / f"{module}.py"):
        assert name.startswith(".") or name.partition(".")[0] in sys.stdlib_module_names
        assert not name.startswith(".."), "the agent travels without the rest of the package"


@pytest.mark.parametrize("module", AGENT_MODULES)
def test_the_agent_is_written_in_the_oldest_python_it_runs_on(module: str) -> None:
    path = AGENT / f"{module}.py"
    ast.parse(path.read_text(), str(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_has_a_docstring_and_a_size_that_a_person_can_read(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LINES_OF_A_FILE
    assert ast.get_docstring(tree(path)), "say what the module promises"
    assert path.stem not in VAGUE


def test_most_functions_are_short_and_none_is_long() -> None:
    sizes = {name: size for path in FILES for name, size in functions(path)}
    too_long = {name: size for name, size in sizes.items() if size > LINES_OF_ANY_FUNCTION}
    assert too_long == {}
    short = sum(size < LINES_OF_MOST_FUNCTIONS for size in sizes.values())
    assert short / len(sizes) >= SHARE_OF_MOST


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"cli", "faces.console", "__main__"}))
def test_only_the_faces_print_or_exit(module: str) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(tree(SOURCES[module]))
        if isinstance(node, ast.Call)
    }
    assert calls & {"print", "exit", "quit", "sys.exit", "os._exit"} == set()
