"""A venv is made of blobs alone, hashes required, and what two releases share is shared."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agent_builders
from agent_builders import Bundle
from shipit.agent.staging import venv
from shipit.agent.storage import blobs, bytecode
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from wheelhouse import Recipe, write_wheel

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("demo", str(tmp_path / "opt"), var=str(tmp_path / "var"))


def bundle_in(paths: Paths, folder: Path, installer: str = "uv") -> Bundle:
    bundle = agent_builders.bundle(folder / "wheels", installer)
    agent_builders.receive(paths, bundle.all)
    blobs.verify(paths, map(agent_builders.artifact, bundle.all))
    return bundle


def make(paths: Paths, manifest: Manifest) -> Path:
    top = paths.release(manifest.id).top
    files.make_directory(top)
    venv.make(paths, manifest)
    return Path(top) / "venv"


def says(made: Path) -> str:
    argv = [str(made / "bin" / "demoapp")]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def bytecode_of(made: Path, module: str) -> list[Path]:
    (packages,) = made.glob("lib/*/site-packages")
    path = packages / module
    return sorted((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_the_app_runs_from_its_venv(paths: Paths, tmp_path: Path, installer: str) -> None:
    bundle = bundle_in(paths, tmp_path, installer)
    made = make(paths, agent_builders.manifest(paths, bundle))
    assert says(made).startswith("demoapp 42")
    assert bytecode_of(made, "demodep.py") == []
    tally = bytecode.complete(str(made), "", agent_builders.SYSTEM_PYTHON)
    assert (tally.linked, tally.compiled > 2) == (0, True)
    assert len(bytecode_of(made, "demodep.py")) == 1


def test_bytecode_of_what_stayed_the_same_is_linked(paths: Paths, tmp_path: Path) -> None:
    bundle = bundle_in(paths, tmp_path)
    old = make(paths, agent_builders.manifest(paths, bundle))
    everything = bytecode.complete(str(old), "", agent_builders.SYSTEM_PYTHON).compiled
    newer = agent_builders.bundle(tmp_path / "newer", app_version="2.0.0")
    agent_builders.receive(paths, newer.all)
    blobs.verify(paths, map(agent_builders.artifact, newer.all))
    new = make(paths, agent_builders.manifest(paths, newer, "2.0.0-bbbbbbbb"))
    tally = bytecode.complete(str(new), str(old), agent_builders.SYSTEM_PYTHON)
    assert tally == (everything - 2, 2)
    assert bytecode_of(new, "demodep.py")[0].samefile(bytecode_of(old, "demodep.py")[0])
    assert not bytecode_of(new, "demoapp/__init__.py")[0].samefile(
        bytecode_of(old, "demoapp/__init__.py")[0]
    )
    assert says(new).startswith("demoapp 42")


def test_linked_bytecode_names_the_release_that_runs(paths: Paths, tmp_path: Path) -> None:
    bundle = bundle_in(paths, tmp_path)
    manifest = agent_builders.manifest(paths, bundle)
    old = make(paths, manifest)
    bytecode.complete(str(old), "", agent_builders.SYSTEM_PYTHON)
    new = make(paths, agent_builders.renamed(manifest, "1.0.0-bbbbbbbb"))
    assert bytecode.complete(str(new), str(old), agent_builders.SYSTEM_PYTHON).compiled == 0
    question = "import demoapp; print(demoapp.main.__code__.co_filename)"
    argv = [str(new / "bin" / "python"), "-c", question]
    answer = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert answer.startswith(str(new))


def test_bytecode_of_another_python_is_not_taken(paths: Paths, tmp_path: Path) -> None:
    bundle = bundle_in(paths, tmp_path)
    manifest = agent_builders.manifest(paths, bundle)
    old = make(paths, manifest)
    bytecode.complete(str(old), "", agent_builders.SYSTEM_PYTHON)
    settings = old / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("version = 3.", "version = 4."))
    new = make(paths, agent_builders.renamed(manifest, "1.0.0-bbbbbbbb"))
    assert bytecode.complete(str(new), str(old), agent_builders.SYSTEM_PYTHON).linked == 0


def test_a_file_that_is_no_python_does_not_stop_the_rest(paths: Paths, tmp_path: Path) -> None:
    made = make(paths, agent_builders.manifest(paths, bundle_in(paths, tmp_path)))
    (packages,) = made.glob("lib/*/site-packages")
    (packages / "template.py").write_text("class {{ name }}:\n")
    bytecode.complete(str(made), "", agent_builders.SYSTEM_PYTHON)
    assert len(bytecode_of(made, "demodep.py")) == 1


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_wheel_with_another_hash_is_refused(paths: Paths, tmp_path: Path, installer: str) -> None:
    bundle = bundle_in(paths, tmp_path, installer)
    manifest = agent_builders.manifest(paths, bundle)
    digest = manifest.app_wheel.sha256
    wrong = replace(manifest, requirements=manifest.requirements.replace(digest, "0" * 64))
    with pytest.raises(Refused) as caught:
        make(paths, wrong)
    assert caught.value.failure.code == "install-failed"
    assert "hash" in caught.value.failure.evidence.lower()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_blob_that_the_disk_has_spoiled_is_named_and_removed(
    paths: Paths, tmp_path: Path, installer: str
) -> None:
    bundle = bundle_in(paths, tmp_path, installer)
    manifest = agent_builders.manifest(paths, bundle)
    blob = Path(paths.blob(manifest.app_wheel.sha256))
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"demodep.ANSWER", b"demodep.answer"))
    with pytest.raises(Refused) as caught:
        make(paths, manifest)
    assert caught.value.failure.code == "blob-corrupt"
    assert not blob.exists()


def test_the_callers_settings_do_not_count(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_LINK_MODE", "nonsense")
    monkeypatch.setenv("UV_PYTHON", "/nowhere")
    monkeypatch.setenv("PIP_NO_INDEX", "nonsense")
    made = make(paths, agent_builders.manifest(paths, bundle_in(paths, tmp_path)))
    assert says(made).startswith("demoapp")


def test_a_cache_that_a_power_cut_may_have_torn_is_not_trusted(
    paths: Paths, tmp_path: Path
) -> None:
    manifest = agent_builders.manifest(paths, bundle_in(paths, tmp_path))
    make(paths, manifest)
    cached = [path for path in Path(paths.uv_cache).rglob("demodep.py") if path.is_file()]
    assert cached
    for path in cached:
        path.write_bytes(b"")
    Path(paths.uv_cache + ".dirty").touch()
    made = make(paths, agent_builders.renamed(manifest, "1.0.0-bbbbbbbb"))
    assert says(made).startswith("demoapp 42")
    assert not Path(paths.uv_cache + ".dirty").exists()


def test_nothing_in_a_venv_is_writable_for_everybody(paths: Paths, tmp_path: Path) -> None:
    made = make(paths, agent_builders.manifest(paths, bundle_in(paths, tmp_path)))
    found = [path for path in made.rglob("*") if not path.is_symlink()]
    assert [path for path in found if path.stat().st_mode & 0o022] == []


def test_an_interpreter_that_is_gone_is_named(paths: Paths, tmp_path: Path) -> None:
    bundle = bundle_in(paths, tmp_path)
    manifest = replace(agent_builders.manifest(paths, bundle), interpreter="/usr/bin/python3.99")
    with pytest.raises(Refused) as caught:
        make(paths, manifest)
    assert caught.value.failure.code == "venv-failed"
    assert "python3.99" in caught.value.failure.what


# --- wheels that want to be the venv -----------------------------------------------------------

TRICKS = {
    "demodep-1.0.0.data/scripts/python": "#!/bin/sh\n",
    "demodep-1.0.0.data/scripts/python3._pth": "/home/vendor/lib\n",
    "demodep-1.0.0.data/data/bin/python3.99": "#!/bin/sh\n",
    "demodep-1.0.0.data/data/pyvenv.cfg": "home = /home/vendor/bin\n",
    "demodep-1.0.0.data/data/lib64": "a file\n",
}


@pytest.mark.parametrize("installer", ["uv", "pip"])
@pytest.mark.parametrize("trick", TRICKS)
def test_a_wheel_does_not_become_a_part_of_the_venv(
    paths: Paths, tmp_path: Path, installer: str, trick: str
) -> None:
    whole = agent_builders.bundle(tmp_path / "wheels", installer)
    write_wheel(tmp_path / "wheels", Recipe("demodep", files={trick: TRICKS[trick]}))
    agent_builders.receive(paths, whole.all)
    blobs.verify(paths, map(agent_builders.artifact, whole.all))
    with pytest.raises(Refused) as caught:
        make(paths, agent_builders.manifest(paths, whole))
    failure = caught.value.failure
    # Either the installer itself has refused to, or it was found out after it.
    assert failure.code in {"venv-replaced", "install-failed"}
    assert Path(trick).name in failure.what + failure.evidence


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_the_installation_leaves_what_makes_a_venv_as_it_was(
    paths: Paths, tmp_path: Path, installer: str
) -> None:
    files = {
        "demodep-1.0.0.data/data/share/demo.txt": "demo\n",
        "demodep-1.0.0.data/scripts/python-demo": "#!python\nprint('demo')\n",
    }
    whole = agent_builders.bundle(tmp_path / "wheels", installer)
    write_wheel(tmp_path / "wheels", Recipe("demodep", files=files))
    agent_builders.receive(paths, whole.all)
    blobs.verify(paths, map(agent_builders.artifact, whole.all))
    made = make(paths, agent_builders.manifest(paths, whole))
    assert (made / "share" / "demo.txt").read_text() == "demo\n"
    assert "demo" in (made / "bin" / "python-demo").read_text()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_nothing_that_a_wheel_brings_runs_while_its_venv_is_made(
    paths: Paths, tmp_path: Path, installer: str
) -> None:
    ran = tmp_path / "ran"
    spy = f"open({str(ran)!r}, 'a').write(__name__)\n"
    modules = ("sitecustomize", "usercustomize", "_manylinux", "distutils", "keyring", "brotli")
    files = {f"{name}.py": spy for name in modules}
    files["demodep.pth"] = f"import builtins; {spy}"
    whole = agent_builders.bundle(tmp_path / "wheels", installer)
    write_wheel(tmp_path / "wheels", Recipe("demodep", files=files))
    agent_builders.receive(paths, whole.all)
    blobs.verify(paths, map(agent_builders.artifact, whole.all))
    made = make(paths, agent_builders.manifest(paths, whole))
    bytecode.complete(str(made), "", agent_builders.SYSTEM_PYTHON)
    assert not ran.exists()
    subprocess.run([str(made / "bin" / "python"), "-c", ""], check=True)
    assert ran.exists()  # as whoever starts the service, and nobody else


def test_an_interpreter_that_others_can_change_makes_no_venv(paths: Paths, tmp_path: Path) -> None:
    theirs = tmp_path / "python3"
    theirs.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    theirs.chmod(0o755)
    manifest = agent_builders.manifest(paths, bundle_in(paths, tmp_path))
    with pytest.raises(Refused) as caught:
        make(paths, replace(manifest, interpreter=str(theirs)))
    assert caught.value.failure.code == "interpreter-rejected"
    assert not (tmp_path / "ran").exists()


def test_a_name_that_is_two_lines_does_not_lead_the_compiler_elsewhere(
    paths: Paths, tmp_path: Path
) -> None:
    """Its second line would be the path of another file, compiled by root into another folder."""
    made = make(paths, agent_builders.manifest(paths, bundle_in(paths, tmp_path)))
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("x = 1\n")
    (packages,) = made.glob("lib/*/site-packages")
    hostile = Path(f"{packages}/a\n{elsewhere}")
    hostile.parent.mkdir(parents=True)
    hostile.write_text("x = 1\n")
    with pytest.raises(Refused) as caught:
        bytecode.complete(str(made), "", agent_builders.SYSTEM_PYTHON)
    assert caught.value.failure.code == "bytecode-failed"
    assert not (tmp_path / "__pycache__").exists()


def test_a_compiler_that_reads_nothing_is_ended_however_much_it_is_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    for number in range(600):
        (packages / f"{'long' * 40}{number}.py").touch()
    hangs = tmp_path / "python3"
    hangs.write_text("#!/bin/sh\nexec sleep 60\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(bytecode, "TIMEOUT", 0.2)
    monkeypatch.setattr(bytecode, "WORKERS", 1)
    with pytest.raises(Refused, match="did not end within") as caught:
        bytecode.complete(str(tmp_path / "venv"), "", str(hangs))
    assert caught.value.failure.code == "bytecode-failed"
    assert len(list(packages.iterdir())) == 600
