from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import shipit
from shipit.agent.protocol import messages
from shipit.transport import agent_zip

INTERPRETERS = [
    path
    for path in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    if tuple(map(int, path.parts[-3].split(".")[:2])) >= (3, 8)
] or [Path(sys.executable)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    agent = agent_zip.build()
    path = tmp_path_factory.mktemp("agent") / f"{agent.sha256}.pyz"
    path.write_bytes(agent.content)
    return path


def test_the_same_sources_give_the_same_bytes() -> None:
    assert agent_zip.build() == agent_zip.build()


def test_every_module_but_the_boot_is_packed_sorted_with_a_fixed_date() -> None:
    agent = agent_zip.build()
    with zipfile.ZipFile(io.BytesIO(agent.content)) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    folder = Path(shipit.__file__).parent / "agent"
    modules = {str(path.relative_to(folder)) for path in folder.rglob("*.py")}
    assert set(names) == {"__main__.py", *(f"shipit_agent/{m}" for m in modules - {"boot.py"})}
    assert names == sorted(names)
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert agent.boot == (folder / "boot.py").read_bytes()


def test_a_copy_that_is_installed_elsewhere_packs_the_same(tmp_path: Path) -> None:
    source = Path(shipit.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, tmp_path / "shipit", ignore=ignore)
    code = "from shipit.transport import agent_zip as a; print(a.__file__, a.build().sha256)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    file, digest = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert digest == agent_zip.build().sha256


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_it_packs_the_same_with_any_python(python: Path) -> None:
    # agent_zip is for the controller's Python, but what decides its bytes is the zip library.
    code = (
        "import hashlib, io, sys, zipfile\n"
        "out = io.BytesIO()\n"
        "with zipfile.ZipFile(out, 'w', zipfile.ZIP_STORED) as archive:\n"
        "    for name in ('__main__.py', 'shipit_agent/a.py'):\n"
        "        info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))\n"
        "        info.create_system = 3\n"
        "        info.external_attr = 0o644 << 16\n"
        "        archive.writestr(info, open(sys.argv[1], 'rb').read())\n"
        "print(hashlib.sha256(out.getvalue()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [interpreter, "-I", "-S", "-c", code, __file__],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for interpreter in (python, Path(sys.executable))
    }
    assert len(digests) == 1


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_an_unknown_role_prints_the_usage_and_ends_with_2(python: Path, packed: Path) -> None:
    done = subprocess.run(
        [python, "-I", "-S", packed, "no-such-role"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_a_hello_is_answered_with_facts(python: Path, packed: Path, tmp_path: Path) -> None:
    hello = messages.Hello("demo", str(tmp_path / "demo"), recover=False)
    done = subprocess.run(
        [python, "-I", "-S", packed, "serve"],
        input=messages.pack(hello),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    frame = messages.read(io.BytesIO(done.stdout))
    assert frame is not None
    assert isinstance(frame.message, messages.Facts), frame.message
    code = "import platform; print(platform.python_version())"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert frame.message.agent_python == asked.stdout.strip()
