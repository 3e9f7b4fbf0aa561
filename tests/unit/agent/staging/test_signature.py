"""Who has signed what a host takes; checked by the real ssh-keygen."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import manifest as plain_manifest
from shipit.agent.protocol.manifest import Artifact, Manifest, Python, Signed
from shipit.agent.staging import signature
from shipit.agent.system import process
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from signing import Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.protocol.messages import Failure

APP = Artifact("demo", "1.0", "demo-1.0-py3-none-any.whl", "a" * 64, 1)
DEP = Artifact("dep", "2.0", "dep-2.0-py3-none-any.whl", "b" * 64, 2)
TOOL = Artifact("uv", "1", "uv-1-py3-none-any.whl", "c" * 64, 3)
OTHER = Artifact("dep", "2.1", "dep-2.1-py3-none-any.whl", "d" * 64, 4)


def pins(*items: Artifact) -> str:
    return "".join(f"{it.name}=={it.version} --hash=sha256:{it.sha256}\n" for it in items)


def text(**changes: object) -> str:
    """Return a bundle.json for two kinds of hosts."""
    listed = [{"filename": i.filename, "sha256": i.sha256, "size": i.size} for i in EVERY]
    targets = [
        {"target": "one", "wheels": [DEP.sha256], "installer": TOOL.sha256},
        {"target": "two", "wheels": [OTHER.sha256], "installer": TOOL.sha256},
    ]
    made = {"name": "demo", "version": "1.0", "app": APP.sha256, "artifacts": listed}
    return json.dumps({"format": 1, "lock": "uv.lock", **made, "targets": targets, **changes})


EVERY = (APP, DEP, TOOL, OTHER)


@dataclass
class Host:
    """A host that asks for signatures, and a key that it knows."""

    paths: Paths
    key: Key

    def knows(self, *lines: str) -> None:
        Path(self.paths.signers).write_text("# who signs releases\n" + "".join(lines))

    def manifest(self, **changes: Any) -> Manifest:  # noqa: ANN401
        made = replace(plain_manifest(self.paths, "1.0"), app_wheel=APP, installer_wheel=TOOL)
        return replace(made, **{"wheels": (DEP,), "requirements": pins(APP, DEP), **changes})

    def signed(self, of: str = "", namespace: str = "shipit") -> Signed:
        of = of or text()
        return Signed(of, self.key.signature(of, namespace))

    def refused(self, signed: Signed | None, **changes: Any) -> Failure:  # noqa: ANN401
        with pytest.raises(Refused) as caught:
            signature.require(self.paths, self.manifest(**changes), signed)
        assert list(Path(self.paths.var).iterdir()) == [], "nothing is left"
        (found,) = signature.problems(self.paths, self.manifest(**changes), signed)
        assert replace(found, evidence="") == replace(
            caught.value.failure, evidence="", step=found.step
        )
        assert found.step == "signature"
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "var").mkdir()
    paths = Paths("demo", "/opt/demo", var=str(tmp_path / "var"))
    made = Host(replace(paths, signers=str(tmp_path / "signers")), Key.make(tmp_path / "keys"))
    made.knows(made.key.line("alice@example.com"))
    return made


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_release_of_a_signed_bundle_is_taken_with_the_name_of_who_signed(
    tmp_path: Path, host: Host, kind: str
) -> None:
    host.key = Key.make(tmp_path, "another", kind)
    host.knows(host.key.line("bob@example.com,carol@example.com"))
    who = signature.require(host.paths, host.manifest(), host.signed())
    assert who == "bob@example.com"
    assert signature.problems(host.paths, host.manifest(), host.signed()) == ()
    assert list(Path(host.paths.var).iterdir()) == []


def test_of_several_keys_and_targets_one_is_enough(tmp_path: Path, host: Host) -> None:
    other = Key.make(tmp_path, "other")
    host.knows(other.line("eve@example.com"), host.key.line("*@example.com"))
    of_two = host.manifest(wheels=(OTHER,), requirements=pins(OTHER, APP))
    assert signature.require(host.paths, of_two, host.signed()) == "*@example.com"


def test_a_text_that_is_no_unicode_is_not_what_was_signed(host: Host) -> None:
    signed = Signed("\ud800" + text(), host.signed().signature)
    assert host.refused(signed).code == "signature-refused"


def test_a_name_is_what_the_file_has_and_no_warning(host: Host) -> None:
    host.knows(host.key.line("eve@example.com", 'until="20990101"'), host.key.line("*"))
    assert signature.require(host.paths, host.manifest(), host.signed()) == "*"


def test_a_host_that_does_not_ask_looks_at_nothing(host: Host) -> None:
    Path(host.paths.signers).unlink()
    for signed in (None, Signed("", ""), host.signed(text(version="3"))):
        assert signature.require(host.paths, host.manifest(), signed) == ""


def test_a_release_without_a_signature_is_refused(host: Host) -> None:
    found = host.refused(None)
    assert (found.code, "shipit sign" in found.hint) == ("unsigned", True)


def test_a_file_that_cannot_be_used_lets_nothing_in(host: Host) -> None:
    Path(host.paths.signers).chmod(0o666)
    assert host.refused(host.signed()).code == "signers-untrusted"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('namespaces="shipit",valid-before="20200101"', "key has expired"),
        ('namespaces="shipit",valid-after="20990101"', "key is not yet valid"),
        ('namespaces="git"', 'not permitted for use in signature namespace "shipit"'),
        ('namespaces="shipit",until="20990101"', "unknown key option"),
        ("cert-authority", ""),
    ],
)
def test_a_key_that_may_not_sign_is_refused_with_the_reason(
    host: Host, options: str, reason: str
) -> None:
    host.knows(host.key.line("alice@example.com", options))
    found = host.refused(host.signed())
    assert found.code == "signature-refused"
    assert reason in found.evidence


@pytest.mark.parametrize("lines", [(), ("nonsense\n",), ("alice@example.com ssh-ed25519 AAAA\n",)])
def test_a_key_that_is_not_in_the_file_is_refused(host: Host, lines: tuple[str, ...]) -> None:
    host.knows(*lines)
    assert host.refused(host.signed()).code == "signature-refused"


@pytest.mark.parametrize(
    "change",
    [
        lambda signed: replace(signed, text=signed.text + " "),
        lambda signed: replace(signed, text=text(version="2.0")),
        lambda signed: replace(signed, signature=signed.signature.replace("A", "B")),
        lambda signed: replace(signed, signature=""),
        lambda signed: replace(signed, signature="é\0"),
        lambda signed: replace(signed, text=""),
    ],
)
def test_a_signature_of_something_else_is_refused(
    host: Host, change: Callable[[Signed], Signed]
) -> None:
    assert host.refused(change(host.signed())).code == "signature-refused"


def test_a_signature_for_another_purpose_is_refused(host: Host) -> None:
    host.knows(host.key.line("alice@example.com", ""))
    assert host.refused(host.signed(namespace="git")).code == "signature-refused"


PYTHON = Python("3.13.1", "python.tar.gz", "f" * 64, 5, "bin/python3.13", 1, 1)


def test_a_python_that_comes_with_the_release_is_one_that_was_signed(host: Host) -> None:
    listed = {"filename": PYTHON.filename, "sha256": PYTHON.sha256, "size": 5, "python": "3.13.1"}
    made = json.loads(text())
    made["artifacts"].append(listed)
    made["targets"][0]["python"] = PYTHON.sha256
    signed = host.signed(json.dumps(made))
    assert signature.require(host.paths, host.manifest(python=PYTHON), signed)
    assert signature.require(host.paths, host.manifest(), signed), "the host's own is the host's"
    for wrong in (replace(PYTHON, sha256="e" * 64), replace(PYTHON, version="3.13.2")):
        assert host.refused(signed, python=wrong).code == "signature-mismatch"
    of_two = {"wheels": (OTHER,), "requirements": pins(APP, OTHER), "python": PYTHON}
    assert host.refused(signed, **of_two).code == "signature-mismatch"


@pytest.mark.parametrize(
    "changes",
    [
        {"wheels": (replace(DEP, sha256="e" * 64),)},
        {"wheels": (replace(DEP, filename="evil-2.0-py3-none-any.whl"),)},
        {"wheels": (replace(DEP, size=9),)},
        {"wheels": (OTHER,)},
        {"wheels": (DEP, OTHER)},
        {"wheels": ()},
        {"app_wheel": replace(APP, sha256="e" * 64)},
        {"app_wheel": DEP},
        {"installer_wheel": replace(TOOL, sha256="e" * 64)},
        {"installer_wheel": DEP},
        {"version": "2.0"},
        {"requirements": pins(APP, OTHER)},
        {"requirements": pins(APP, DEP, OTHER)},
        {"requirements": pins(APP, DEP) + "--index-url https://example.com\n"},
        {"requirements": pins(APP, DEP) + "evil @ file:///srv/evil.whl\n"},
        {"requirements": ""},
    ],
)
def test_a_release_of_other_wheels_than_were_signed_is_refused(
    host: Host, changes: dict[str, object]
) -> None:
    assert host.refused(host.signed(), **changes).code == "signature-mismatch"


@pytest.mark.parametrize(
    "signed",
    [
        text(name="other"),
        text(version="2.0"),
        text(app=DEP.sha256),
        text(targets=[]),
        text(artifacts=[]),
        text(artifacts="x"),
        "[]",
        "[" * 100_000,
        "x",
    ],
)
def test_what_was_signed_must_be_a_bundle_with_this_release(host: Host, signed: str) -> None:
    assert host.refused(host.signed(signed)).code == "signature-mismatch"


def test_more_than_a_bundle_can_have_is_not_read(host: Host) -> None:
    huge = Signed("x" * (signature.TEXT_LIMIT + 1), "")
    assert host.refused(huge).code == "signature-mismatch"
    assert host.refused(replace(host.signed(), signature="x" * 70_000)).code == "signature-mismatch"


SCRIPTS = {
    "killed": ("kill -SEGV $$", "was killed by signal 11"),
    "hangs": ("sleep 600", "did not end within"),
    "old": ("echo 'ssh-keygen: unknown option -- Y' >&2; exit 1", "is too old"),
    "older": ("echo 'Unsupported operation for -Y: \"find-principals\"' >&2; exit 1", "is too old"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_host_that_cannot_check_takes_nothing(
    tmp_path: Path, host: Host, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = host.signed()
    script, reason = SCRIPTS[name]
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh-keygen").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ssh-keygen").chmod(0o755)
    monkeypatch.setattr(process, "program", lambda name: str(folder / name))
    monkeypatch.setattr(signature, "TIMEOUT", 0.3 if name == "hangs" else 30.0)
    found = host.refused(signed)
    assert (found.code, reason in found.what) == ("signature-unchecked", True)


def test_a_host_without_ssh_keygen_says_what_to_install(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = host.signed()
    monkeypatch.setattr(process, "program", lambda _: None)
    found = host.refused(signed)
    assert (found.code, "openssh-client" in found.hint) == ("signature-unchecked", True)


def test_a_release_that_is_taken_needs_no_disk(tmp_path: Path, host: Host) -> None:
    host.paths = replace(host.paths, var=str(tmp_path / "cannot-be-written"))
    assert signature.require(host.paths, host.manifest(), host.signed()) == "alice@example.com"


def of_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")


def of_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: str) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "memfd_create", forbidden)


@pytest.mark.parametrize("without", [of_old, of_strict])
def test_without_files_in_memory_it_takes_the_disk(
    tmp_path: Path,
    host: Host,
    without: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed = host.signed()
    without(monkeypatch)
    assert signature.require(host.paths, host.manifest(), signed) == "alice@example.com"
    assert list(Path(host.paths.var).iterdir()) == []
    full = replace(host.paths, var=str(tmp_path / "cannot-be-written"))
    (found,) = signature.problems(full, host.manifest(), signed)
    assert (found.code, full.var in found.hint) == ("signature-unchecked", True)
    assert "No such file or directory" in found.what


def test_an_ssh_keygen_that_cannot_be_started_is_named(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = host.signed()
    (tmp_path / "ssh-keygen").write_bytes(b"\x7fELF")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setattr(process, "program", lambda name: str(tmp_path / name))
    found = host.refused(signed)
    assert (found.code, "cannot be started" in found.what) == ("signature-unchecked", True)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"app_wheel": replace(APP, sha256="e" * 64)},
            "signed was demo 1.0 (sha256:aaaaaaaaaaaa), this is demo 1.0 (sha256:eeeeeeeeeeee)",
        ),
        ({"version": "2.0"}, "signed was version 1.0, this is 2.0"),
        ({"wheels": (OTHER, DEP)}, "none of the signed targets has exactly these wheels"),
    ],
)
def test_a_difference_is_reported_with_both_sides(
    host: Host, changes: dict[str, object], difference: str
) -> None:
    assert difference in host.refused(host.signed(), **changes).what
