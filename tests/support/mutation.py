"""Change the pure modules, one mutant at a time: their unit tests must notice (`make mutants`).

    python tests/support/mutation.py [WORD...]

runs mutmut on the modules of [tool.mutmut] in pyproject.toml, or on those whose path has one of
the words. It fails if less than 95 % of a module's mutants are killed, if one survives that
`equivalent_mutants.toml` doesn't explain, or if an explanation there fits no survivor any more.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from project import TESTS, TOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EQUIVALENT = TESTS / "equivalent_mutants.toml"
NEEDED = 95  # percent of a module's mutants
PROCESSES = 2
HEAD = f"{'module':<42}{'mutants':>8}{'killed':>8}{'':>6}{'equivalent':>12}{'survived':>10}\n"


@dataclass(frozen=True)
class Change:
    """What a mutant changes in a function: the lines before and after, without indentation."""

    function: str
    before: str
    after: str


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed."""

    place: str
    change: Change
    diff: str


@dataclass(frozen=True)
class Outcome:
    """What became of a module's mutants."""

    module: str
    total: int
    survivors: tuple[Survivor, ...]

    @property
    def percent(self) -> float:
        return 100 * (self.total - len(self.survivors)) / self.total

    def unexplained(self, explained: Iterable[Change]) -> list[Survivor]:
        known = set(explained)
        return [each for each in self.survivors if each.change not in known]


def changed(function: str, diff: str) -> Change:
    """Return the change that a unified diff shows."""
    lines = [line for line in diff.splitlines() if line[:3] not in ("---", "+++")]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+"
    )
    return Change(function, before, after)


def line_of(source: str, function: str, diff: str) -> int:
    """Return the line of a file that a diff of one of its functions begins to change."""
    node: ast.AST = ast.parse(source)
    for name in function.split("."):
        node = next(n for n in ast.iter_child_nodes(node) if getattr(n, "name", "") == name)
    assert isinstance(node, ast.FunctionDef)
    head, _, body = diff.partition(" @@\n")
    first = int(head.rpartition("@@ -")[2].partition(",")[0])
    unchanged = next(n for n, line in enumerate(body.splitlines()) if line[:1] in "-+")
    return node.lineno + first + unchanged - 1


def function_of(mutant: str) -> str:
    """Return `function`, or `Class.method`, of a mutant's name."""
    name = mutant.partition("__mutmut_")[0].rpartition(".")[2]
    return name[2:] if name.startswith("x_") else name[2:].replace("ǁ", ".")


def outcomes(modules: Sequence[str]) -> Iterator[Outcome]:
    """Read what mutmut has left of its run."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # noqa: PLC0415 - only `make mutants` has it
    from mutmut.stats import status_by_exit_code  # noqa: PLC0415

    for module in modules:
        source = (TOP / module).read_text(encoding="utf-8")
        codes = json.loads((TOP / f"mutants/{module}.meta").read_text())["exit_code_by_key"]
        survivors = []
        for mutant, code in codes.items():
            if status_by_exit_code[code] in {"killed", "timeout"}:
                continue
            function, diff = function_of(mutant), get_diff_for_mutant(mutant, path=module)
            place = f"{module}:{line_of(source, function, diff)}"
            survivors.append(Survivor(place, changed(f"{module}:{function}", diff), diff))
        yield Outcome(module, len(codes), tuple(survivors))


def explained(modules: Sequence[str]) -> list[Change]:
    """Read the mutants that can't be noticed, of these modules."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    changes = [Change(entry["in"], entry["before"], entry["after"]) for entry in entries]
    return [each for each in changes if each.function.partition(":")[0] in modules]


def report(found: Sequence[Outcome], known: Sequence[Change]) -> tuple[str, bool]:
    """Return the table with every unexplained survivor, and whether all is well."""
    rows, details, well = [HEAD], [], True
    for outcome in found:
        survivors = outcome.unexplained(known)
        equivalent = len(outcome.survivors) - len(survivors)
        killed = outcome.total - len(outcome.survivors)
        name = outcome.module.removeprefix("src/shipit/")
        rows.append(
            f"{name:<42}{outcome.total:>8}{killed:>8}{outcome.percent:>5.0f}%"
            f"{equivalent:>12}{len(survivors):>10}\n"
        )
        details += [f"\n{each.place} {each.change.function}\n{each.diff}\n" for each in survivors]
        well = well and not survivors and outcome.percent >= NEEDED
    changes = {survivor.change for outcome in found for survivor in outcome.survivors}
    details += [f"\nno such survivor any more: {each}\n" for each in known if each not in changes]
    return "".join([*rows, *details]), well and set(known) <= changes


def main(words: Sequence[str]) -> int:
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    modules = [m for m in settings["only_mutate"] if not words or any(w in m for w in words)]
    shutil.rmtree(TOP / "mutants", ignore_errors=True)  # it would keep what older tests noticed
    names = [m.removeprefix("src/").removesuffix(".py").replace("/", ".") + ".*" for m in modules]
    command = ["nice", sys.executable, "-m", "mutmut", "run", f"--max-children={PROCESSES}", *names]
    subprocess.run(command, cwd=TOP, check=True)
    text, well = report(list(outcomes(modules)), explained(modules))
    sys.stdout.write("\n" + text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
