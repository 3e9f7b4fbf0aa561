from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import echo_agent
from shipit.agent import boot
from shipit.agent.protocol import messages
from shipit.transport import agent_zip
from unit.transport.test_agent_zip import INTERPRETERS

AGENT = echo_agent.build()
PACKED = zlib.compress(AGENT.content, 9)
SENT = b"%d\n%b" % (len(PACKED), PACKED)


def request(directory: Path, role: str = "serve") -> bytes:
    return json.dumps({"sha256": AGENT.sha256, "role": role, "directory": str(directory)}).encode()


def run(given: bytes, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[bytes]:
    """Execute the source as the loader does."""
    loader = (
        "import sys; f = sys.stdin.buffer; source = f.read(int(sys.argv[1])); "
        "exec(compile(source, 'shipit-boot', 'exec'), {'__name__': 'shipit_boot'})"
    )
    return subprocess.run(
        [python, "-I", "-S", "-c", loader, str(len(AGENT.boot))],
        input=AGENT.boot + given,
        capture_output=True,
        timeout=30,
        check=False,
    )


def replies(output: bytes) -> list[str]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith(b'{"boot"')]
    return [line["boot"] for line in lines]


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def loaded_from(directory: Path, python: Path = Path(sys.executable)) -> list[str]:
    """Start an agent that prints where it was loaded from."""
    main = b"def main(argv):\n    print(__file__)\n"
    content = agent_zip.pack({"__init__.py": b"", "__main__.py": main})
    asked = {"sha256": digest_of(content), "role": "serve", "directory": str(directory)}
    packed = zlib.compress(content)
    given = b"%b\n%d\n%b" % (json.dumps(asked).encode(), len(packed), packed)
    return [line for line in run(given, python).stdout.decode().splitlines() if line[:1] == "/"]


def bytecode_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.*.*.pyz"))


HELLO = messages.pack(messages.Hello("demo", "/opt/demo"))


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_the_agent_is_asked_for_once_and_then_runs(python: Path, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "agent"
    first = run(request(directory) + b"\n" + SENT + HELLO, python)
    assert replies(first.stdout) == ["need", "have"]
    assert b"role serve" in first.stdout
    second = run(request(directory, "receive") + b"\n" + HELLO, python)
    assert replies(second.stdout) == ["have"]
    assert b"role receive" in second.stdout
    path = directory / f"{AGENT.sha256}.pyz"
    [with_bytecode] = bytecode_in(directory)
    assert {*directory.iterdir()} == {path, with_bytecode}
    assert path.read_bytes() == AGENT.content
    assert {each.stat().st_mode & 0o777 for each in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert first.stderr == second.stderr == b""


def test_a_damaged_agent_is_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / f"{AGENT.sha256}.pyz").write_bytes(AGENT.content[:-1])
    assert replies(run(request(tmp_path) + b"\n" + SENT).stdout) == ["need", "have"]


@pytest.mark.parametrize(
    "sent", [b"", SENT[:-9], PACKED, b"many\n" + PACKED, b"15\n" + zlib.compress(b"another")]
)
def test_other_bytes_than_those_asked_for_never_run(tmp_path: Path, sent: bytes) -> None:
    done = run(request(tmp_path) + b"\n" + sent)
    assert replies(done.stdout) == ["need", "failed"]
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_reported_with_its_errno(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(request(tmp_path / "file") + b"\n" + SENT)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["boot"] == "failed"
    assert str(tmp_path / "file") in last["what"]
    assert last["errno"] in (17, 20)


def test_answers_stand_on_lines_of_their_own() -> None:
    out = io.BytesIO()
    out.write(b"a login shell's last words")
    boot.answer(out, {"boot": "have"})
    assert out.getvalue().splitlines()[-1] == b'{"boot": "have"}'


def test_an_agent_in_use_is_noted_as_such(tmp_path: Path) -> None:
    path = tmp_path / "agent.pyz"
    path.write_bytes(b"agent")
    os.utime(path, (0, 0))
    assert boot.is_present(str(path), hashlib.sha256(b"agent").hexdigest())
    assert path.stat().st_mtime > 0
    assert not boot.is_present(str(path), hashlib.sha256(b"other").hexdigest())
    assert not boot.is_present(str(tmp_path / "none"), hashlib.sha256(b"agent").hexdigest())


def test_half_an_agent_is_never_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        boot.install(str(tmp_path / "agent.pyz"), b"agent")
    assert list(tmp_path.iterdir()) == []


def test_an_agent_in_a_folder_that_others_can_write_to_is_not_run_as_it_lies(
    tmp_path: Path,
) -> None:
    """Else its bytes could change between the look at its digest and the moment it runs."""
    directory = tmp_path / "agent"
    run(request(directory) + b"\n" + SENT + HELLO)
    directory.chmod(0o777)
    done = run(request(directory) + b"\n" + SENT + HELLO)
    assert replies(done.stdout) == ["need", "have"]
    assert directory.stat().st_mode & 0o777 == 0o700


def test_bytecode_in_such_a_folder_is_never_run(tmp_path: Path) -> None:
    directory = tmp_path / "agent"
    run(request(directory) + b"\n" + SENT + HELLO)
    [path] = bytecode_in(directory)
    planted = path.with_name(path.name.replace(path.name.split(".")[-2], digest_of(b"planted")))
    planted.write_bytes(b"planted")
    directory.chmod(0o777)
    assert b"role serve" in run(request(directory) + b"\n" + SENT + HELLO).stdout
    assert not planted.exists()


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_bytecode_is_made_once_for_each_python_and_run(python: Path, tmp_path: Path) -> None:
    where = loaded_from(tmp_path, python)
    assert where == [f"{path}/shipit_agent/__main__.pyc" for path in bytecode_in(tmp_path)]
    made = [path.stat().st_ino for path in bytecode_in(tmp_path)]
    assert loaded_from(tmp_path, python) == where
    assert [path.stat().st_ino for path in bytecode_in(tmp_path)] == made
    others = [each for each in INTERPRETERS if each != python][:1]
    assert [loaded_from(tmp_path, other) != where for other in others] == [True for _ in others]


def test_bytecode_of_another_version_is_not_loaded(tmp_path: Path) -> None:
    """A later Python may find it in the unit that settles a transaction at boot."""
    [where] = loaded_from(tmp_path)
    packed = Path(where).parent.parent
    content = packed.read_bytes()
    assert content.count(importlib.util.MAGIC_NUMBER) >= 2
    packed.write_bytes(content.replace(importlib.util.MAGIC_NUMBER, b"\0\0\r\n"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", packed], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{packed}/shipit_agent/__main__.py"]


def test_damaged_bytecode_is_made_anew(tmp_path: Path) -> None:
    [where] = loaded_from(tmp_path)
    packed = Path(where).parent.parent
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-1] + b"?")
    assert loaded_from(tmp_path)[0].endswith("/shipit_agent/__main__.pyc")
    assert [digest_of(path.read_bytes()) in path.name for path in bytecode_in(tmp_path)] == [True]


def test_an_agent_whose_bytecode_cannot_be_written_runs_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.pyz"
    path.write_bytes(AGENT.content)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert boot.with_bytecode(str(path)) == str(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "agent").symlink_to(tmp_path / "elsewhere")
    done = run(request(tmp_path / "agent") + b"\n" + SENT + HELLO)
    assert replies(done.stdout) == ["failed"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
