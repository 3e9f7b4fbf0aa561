"""Sign a bundle with a real key, and say who has signed one."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from repositories import git
from shipit.archive import file, signature, signers
from shipit.archive.manifest import to_json
from shipit.errors import InputError, Mistake
from shipit.secrets import SecretUrl
from signing import Key
from unit.archive.made import bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shipit.archive.file import Bundle
    from shipit.project.cache import Cache


@pytest.fixture
def made(tmp_path: Path, store: Cache) -> Bundle:
    return file.read(bundle(tmp_path), store)


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key.make(tmp_path / "keys")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give an ssh agent without keys."""
    socket = str(tmp_path / "agent")
    argv = ["ssh-agent", "-D", "-a", socket]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield
        process.terminate()


def written(folder: Path, *lines: str) -> Path:
    path = folder / "signers"
    path.write_text("".join(lines))
    return path


def mistake_of(act: Callable[[], object]) -> Mistake:
    with pytest.raises(InputError) as caught:
        act()
    (mistake,) = caught.value.mistakes
    assert mistake.hint
    return mistake


def signed(made: Bundle, key: Path | None, store: Cache) -> Bundle:
    """Sign a bundle, and read it again."""
    before = made.path.read_bytes()
    path = signature.sign(made.path, to_json(made.manifest), key)
    assert path == made.path.with_name(f"{made.path.name}.sig")
    assert made.path.read_bytes() == before
    assert {each.name for each in made.path.parent.iterdir()} == {made.path.name, path.name}
    return file.read(made.path, store)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_signed_bundle_has_a_name_for_those_who_know_the_key(
    tmp_path: Path, made: Bundle, store: Cache, kind: str
) -> None:
    key = Key.make(tmp_path / "keys", kind=kind)
    found = signed(made, key.path, store)
    assert re.fullmatch(rf"{kind.upper()} SHA256:\S+", signers.key_of(found))
    listed = written(tmp_path, key.line("alice@example.com,bob@example.com"))
    assert signers.signer(found, listed) == "alice@example.com"
    assert found.signed
    assert found.signed.text == to_json(made.manifest)


def test_the_private_half_may_be_in_the_ssh_agent(
    agent: None, tmp_path: Path, made: Bundle, store: Cache, key: Key
) -> None:
    private = key.path.rename(key.path.with_name("hidden"))
    unknown = mistake_of(lambda: signed(made, key.public, store))
    assert (unknown.code, "ssh-add -l" in unknown.hint) == ("signing-failed", True)
    subprocess.run(["ssh-add", "-q", str(private)], check=True)
    private.unlink()
    found = signed(made, key.public, store)
    listed = written(tmp_path, key.line("alice@example.com"))
    assert signers.signer(found, listed) == "alice@example.com"


def test_without_a_key_it_is_that_of_git(
    tmp_path: Path, made: Bundle, store: Cache, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert mistake_of(lambda: signed(made, None, store)).code == "no-signing-key"
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.signingKey", str(key.path))
    assert mistake_of(lambda: signed(made, None, store)).code == "no-signing-key", "it is for GPG"
    git(tmp_path, "config", "gpg.format", "ssh")
    assert signed(made, None, store).signed


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path, made: Bundle, store: Cache) -> None:
    gone = mistake_of(lambda: signed(made, tmp_path / "gone", store))
    assert (gone.code, gone.place and gone.place.file) == ("no-signing-key", str(tmp_path / "gone"))
    (tmp_path / "none").write_text("none")
    wrong = mistake_of(lambda: signed(made, tmp_path / "none", store))
    assert wrong.code == "signing-failed"
    assert not signature.path_of(made.path).exists()


def test_a_signature_that_cannot_be_written_is_named(made: Bundle, store: Cache, key: Key) -> None:
    signature.path_of(made.path).mkdir()
    refused = mistake_of(lambda: signature.sign(made.path, "", key.path))
    assert refused.code == "bundle-unwritable"
    assert len(list(made.path.parent.iterdir())) == 2


def test_an_unsigned_bundle_has_nobodys_name(tmp_path: Path, made: Bundle) -> None:
    assert made.signed is None
    refused = mistake_of(lambda: signers.signer(made, tmp_path))
    assert (refused.code, f"shipit sign {made.path}" in refused.hint) == ("unsigned", True)


@pytest.mark.parametrize(
    ("options", "evidence"),
    [
        (None, "No principal matched"),
        ('namespaces="git"', "not permitted"),
        ('valid-before="20200101"', "expired"),
    ],
)
def test_a_key_that_may_not_sign_is_refused_with_the_reason(
    tmp_path: Path, made: Bundle, store: Cache, key: Key, options: str | None, evidence: str
) -> None:
    found = signed(made, key.path, store)
    listed = written(tmp_path, key.line("alice@example.com", options) if options else "")
    refused = mistake_of(lambda: signers.signer(found, listed))
    assert (refused.code, evidence in refused.evidence) == ("signature-refused", True)


def test_a_signature_of_another_bundle_or_for_git_is_refused(
    tmp_path: Path, made: Bundle, store: Cache, key: Key
) -> None:
    listed = written(tmp_path, key.line("alice@example.com", ""))
    text = to_json(made.manifest)
    for wrong in (key.signature(text + " "), key.signature(text, "git"), "none", ""):
        signature.path_of(made.path).write_text(wrong)
        found = file.read(made.path, store)
        assert found.signed is not None
        for check in (
            lambda it=found: signers.signer(it, listed),
            lambda it=found: signers.key_of(it),
        ):
            assert mistake_of(check).code == "signature-refused"


def as_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize("damage", [as_bytes(b"\xff"), as_bytes(b"x" * 70_000), Path.mkdir])
def test_a_damaged_signature_is_refused_where_it_is_needed_alone(
    tmp_path: Path, made: Bundle, store: Cache, damage: Callable[[Path], object]
) -> None:
    damage(signature.path_of(made.path))
    found = file.read(made.path, store)
    assert found.signed is None, "it is not sent"
    for check in (
        lambda: signers.signer(found, written(tmp_path)),
        lambda: signers.key_of(found),
    ):
        refused = mistake_of(check)
        assert (refused.code, "shipit sign" in refused.hint) == ("signature-refused", True)


def test_a_damaged_signature_is_replaced_by_another(made: Bundle, store: Cache, key: Key) -> None:
    signature.path_of(made.path).write_bytes(b"\xff")
    assert signers.key_of(signed(file.read(made.path, store), key.path, store))


def test_an_unsigned_bundle_at_a_url_is_signed_where_it_was_uploaded_from(
    tmp_path: Path, made: Bundle
) -> None:
    url = SecretUrl("https://me:pw@store.example.com/x.shipit?token=1")
    found = replace(made, url=url, name=str(url))
    refused = mistake_of(lambda: signers.signer(found, tmp_path))
    assert refused.what == "the bundle is not signed: there is no x.shipit.sig beside it"
    hint = "sign the file that was uploaded: shipit sign FILE; then upload FILE.sig beside it"
    assert refused.hint == hint
