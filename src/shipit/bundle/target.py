"""Decide which wheels run on a host, from facts about that host alone.

Nothing of the controller (its Python, libc or processor) enters the answer. Knows Linux with glibc
or musl; reads no files and contacts no host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.markers import Environment

# The names that glibc versions had before PEP 600.
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# The versions that most wheels are built for; pip considers only those that are named.
_USUAL_GLIBC_MINORS = (39, 34, 31, 28)
_IMPLEMENTATION_NAMES = {"cpython": "CPython", "pypy": "PyPy"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """The part of a host that decides which wheels run there.

    Attributes:
        python: major and minor version of the host's interpreter.
        implementation: `sys.implementation.name`.
        machine: `platform.machine()`.
        libc: `("glibc", 2, 36)` or `("musl", 1, 2)`.
        full_version: `platform.python_version()`.
    """

    python: tuple[int, int]
    implementation: str
    machine: str
    libc: tuple[str, int, int]
    full_version: str

    def __str__(self) -> str:
        libc, major, minor = self.libc
        name = self.markers()["platform_python_implementation"]
        return f"{name} {self.full_version} on {self.machine} with {libc} {major}.{minor}"

    def tags(self) -> tuple[Tag, ...]:
        """Return the wheel tags that run here, the best first (the order that installers use)."""
        platforms = list(self.platforms())
        if self.implementation != "cpython":
            return tuple(compatible_tags(self.python, None, platforms))
        abi = "cp{}{}".format(*self.python)
        ours = cpython_tags(self.python, [abi], platforms)
        return (*ours, *compatible_tags(self.python, abi, platforms))

    def markers(self) -> Environment:
        """Return the environment for dependency markers; kernel versions are left empty."""
        name = _IMPLEMENTATION_NAMES.get(self.implementation, self.implementation)
        return {
            "implementation_name": self.implementation,
            "implementation_version": self.full_version,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": name,
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.full_version,
            "python_version": "{}.{}".format(*self.python),
            "sys_platform": "linux",
        }

    def fits(self, wanted: SpecifierSet | str) -> bool:
        """Whether the interpreter satisfies a specifier such as `>=3.11`; pre-releases count."""
        specifier = SpecifierSet(wanted) if isinstance(wanted, str) else wanted
        # Distributions that build from a branch report `3.11.2+`.
        return specifier.contains(Version(self.full_version.removesuffix("+")), prereleases=True)

    def platforms(self) -> Iterator[str]:
        """Yield platform tags as PEP 600 and PEP 656 define them, the nearest to the host first."""
        yield f"linux_{self.machine}"
        libc, major, minor = self.libc
        if libc == "musl":
            yield from (f"musllinux_{major}_{n}_{self.machine}" for n in range(minor, -1, -1))
            return
        # PEP 600 begins at glibc 2.17; the older two names were for these processors only.
        oldest = 5 if self.machine in {"x86_64", "i686"} else 17
        for n in range(minor, oldest - 1, -1):
            yield f"manylinux_{major}_{n}_{self.machine}"
            if n in _LEGACY_MANYLINUX:
                yield f"{_LEGACY_MANYLINUX[n]}_{self.machine}"

    def misfit(self, tags: Iterable[Tag]) -> tuple[str, str]:
        """Explain why no wheel with these tags runs here: a code for the mistake, and a reason."""
        tags = sorted(tags, key=str)
        interpreters = {(tag.interpreter, tag.abi) for tag in self.tags()}
        near = [tag for tag in tags if (tag.interpreter, tag.abi) in interpreters]
        if not near:
            made_for = ", ".join(sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags}))
            return "wrong-python", f"is for another Python ({made_for})"
        platforms = sorted({tag.platform for tag in near})
        for platform in platforms:
            needed = self._newer_libc(platform)
            if needed:
                return "libc-too-new", f"needs {needed}"
        return "wrong-platform", f"is for another platform ({', '.join(platforms)})"

    def _newer_libc(self, platform: str) -> str:
        """Return the libc that a platform tag requires if only its version is too new here."""
        libc, major, minor = self.libc
        family, _, rest = platform.partition("_")
        if family != {"glibc": "manylinux", "musl": "musllinux"}[libc]:
            return ""
        wanted_major, wanted_minor, machine = rest.split("_", 2)
        newer = (int(wanted_major), int(wanted_minor)) > (major, minor)
        return f"{libc} {wanted_major}.{wanted_minor}" if newer and machine == self.machine else ""

    def pip_download(self, wheelhouse: str, *pins: str) -> str:
        """Return the command that fetches these `name==version` for this target."""
        libc, major, minor = self.libc
        if libc == "musl":
            platforms = [f"musllinux_{major}_{n}" for n in range(minor, 0, -1)]
        else:
            usual = [f"manylinux_{major}_{n}" for n in _USUAL_GLIBC_MINORS if n <= minor]
            platforms = [*usual, "manylinux2014"]
        options = "".join(f" --platform {platform}_{self.machine}" for platform in platforms)
        return (
            f"pip download --only-binary=:all: --no-deps --implementation cp"
            f" --python-version {'.'.join(map(str, self.python))}{options}"
            f" -d {wheelhouse} {' '.join(pins)}"
        )
