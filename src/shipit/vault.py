"""Decrypt ansible-vault texts: formats 1.1 and 1.2, AES256.

The format is documented by Ansible: a header line, then hex of three hex texts (salt, HMAC,
ciphertext); the keys come from the password by PBKDF2-HMAC-SHA256, the HMAC-SHA256 covers the
ciphertext, which is AES-256 in counter mode with PKCS#7 padding. Only this module imports
cryptography.

A password is fetched only when something must be decrypted, the HMAC is checked before decryption,
and no error contains a password or a plaintext.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import subprocess
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake
from shipit.secrets import Secret, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    from shipit.errors import Place

HEADER = "$ANSIBLE_VAULT"
WAYS = "give its password: --ask-vault-pass, --vault-password-file or ANSIBLE_VAULT_PASSWORD_FILE"
LOCKED = frozenset({"vault-locked", "vault-password"})  # codes: no password opens it
_ITERATIONS = 10_000
_KEY, _IV = 32, 16  # bytes
_BLOCK = 16  # bytes
_PARTS = 3  # salt, HMAC, ciphertext
_SECONDS = 30.0  # for a program to print a password


@dataclass(frozen=True)
class Envelope:
    """An encrypted text."""

    label: str
    salt: bytes
    digest: bytes
    ciphertext: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Envelope:
        """Read a text that begins with HEADER.

        Raises:
            ValueError: with what is wrong.
        """
        head, *body = text.strip().splitlines() or [""]
        name, version, cipher, *label = (part.strip() for part in f"{head};;".split(";"))
        if name != HEADER or version not in ("1.1", "1.2") or cipher != "AES256":
            raise ValueError(f"its header is {head[:60]!r}, not {HEADER};1.1;AES256 (or 1.2)")
        try:
            parts = binascii.unhexlify("".join(line.strip() for line in body)).split(b"\n")
            salt, digest, ciphertext = (binascii.unhexlify(part) for part in parts[:_PARTS])
        except ValueError as error:
            raise ValueError("it is damaged: what follows the header is not hexadecimal") from error
        return cls(label[0] if version == "1.2" else "", salt, digest, ciphertext)

    def opened(self, password: Secret) -> bytes | None:
        """Return the plaintext; None if the password is wrong."""
        key, own, counter = _keys(password, self.salt)
        if not hmac.compare_digest(hmac.digest(own, self.ciphertext, "sha256"), self.digest):
            return None
        decryptor = _aes_ctr(key, counter).decryptor()
        padded = decryptor.update(self.ciphertext) + decryptor.finalize()
        return padded[: -padded[-1]] if padded and padded[-1] <= _BLOCK else padded


@dataclass(frozen=True)
class Source:
    """The source of a password; `label` is the vault id, "" for any."""

    label: str
    ask: Callable[[], Secret] = field(repr=False)
    file: Path | None = None


class Passwords:
    """The vault passwords of a run, each fetched when it is first needed."""

    def __init__(self, sources: Sequence[Source] = ()) -> None:
        self._sources = tuple(sources)
        self._known: dict[int, Secret] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """The passwords that are in files, in the form of ansible's --vault-id."""
        return tuple(
            f"{source.label or 'default'}@{source.file}" for source in self._sources if source.file
        )

    def __bool__(self) -> bool:
        return bool(self._sources)

    def open(self, text: str, place: Place) -> str:
        """Decrypt a text; the password of its vault id is tried first.

        Raises:
            InputError: vault-damaged, vault-locked, vault-password, or what a source raises.
        """
        try:
            envelope = Envelope.parse(text)
        except ValueError as error:
            hint = "encrypt it again with ansible-vault"
            raise InputError(Mistake("vault-damaged", f"{error}", place, hint)) from error
        about = f"this is encrypted with ansible-vault (vault id {envelope.label or 'default'})"
        if not self._sources:
            raise InputError(Mistake("vault-locked", about, place, WAYS))
        order = sorted(enumerate(self._sources), key=lambda one: one[1].label != envelope.label)
        for index, _ in order:
            plain = envelope.opened(self._password(index))
            if plain is None:
                continue
            try:
                return plain.decode()
            except UnicodeDecodeError:
                what = "what is encrypted here is not UTF-8 text"
                # `from None`: the cause holds the value.
                raise InputError(Mistake("vault-damaged", what, place)) from None
        what = f"{about}, and no vault password that was given opens it"
        raise InputError(Mistake("vault-password", what, place, WAYS))

    def seal(self, secret: Secret) -> str:
        """Encrypt a decrypted secret again, with the password that was used.

        Raises:
            LookupError: nothing has been decrypted.
        """
        index = min(self._known)
        return sealed(secret, self._known[index])

    def _password(self, index: int) -> Secret:
        if index not in self._known:
            self._known[index] = self._sources[index].ask()
        return self._known[index]


NONE = Passwords()


@dataclass(frozen=True)
class Vaulted:
    """An encrypted value, decrypted when it is used."""

    text: str = field(repr=False)
    place: Place
    passwords: Passwords = field(repr=False, compare=False)

    def open(self) -> Secret:
        """Decrypt it.

        Raises:
            InputError: those of Passwords.open.
        """
        return Secret(self.passwords.open(self.text, self.place))


def sealed(secret: Secret, password: Secret) -> str:
    """Encrypt a text as ansible-vault does, format 1.1."""
    salt, plain = os.urandom(_KEY), secret.reveal().encode()
    key, own, counter = _keys(password, salt)
    missing = _BLOCK - len(plain) % _BLOCK
    encryptor = _aes_ctr(key, counter).encryptor()
    ciphertext = encryptor.update(plain + bytes([missing]) * missing) + encryptor.finalize()
    parts = (salt, hmac.digest(own, ciphertext, "sha256"), ciphertext)
    body = b"\n".join(binascii.hexlify(part) for part in parts).hex()
    return f"{HEADER};1.1;AES256\n{body}\n"


def _aes_ctr(key: bytes, counter: bytes) -> Cipher[modes.CTR]:
    # Most runs open no vault, and the library takes a while to load.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    return Cipher(algorithms.AES(key), modes.CTR(counter))


def _keys(password: Secret, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the keys of the cipher and the HMAC, and the first counter."""
    size = 2 * _KEY + _IV
    made = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, _ITERATIONS, size)
    return made[:_KEY], made[_KEY : 2 * _KEY], made[2 * _KEY :]


def sources_of(files: Sequence[tuple[str, Path]]) -> tuple[Source, ...]:
    """Return the sources of passwords in files, each with its vault id."""
    return tuple(Source(label, partial(password_of, file, label), file) for label, file in files)


def is_encrypted(text: str) -> bool:
    return text.startswith(HEADER)


def password_of(file: Path, label: str = "") -> Secret:
    """Read a password from a file, or from the output of an executable.

    A program whose name ends in `-client` gets `--vault-id LABEL`, as from Ansible.

    Raises:
        InputError: vault-password-file; never shows the program's output.
    """
    try:
        is_program = file.is_file() and os.access(file, os.X_OK)
        raw = _printed(file, label) if is_program else file.read_bytes()
    except OSError as error:
        raise _no_password(file, error.strerror or "it cannot be read") from error
    except subprocess.TimeoutExpired:
        raise _no_password(file, f"it took longer than {_SECONDS:g} s") from None
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise _no_password(file, "it is not UTF-8 text") from None
    if not text:
        raise _no_password(file, "it is empty")
    return Secret(text)


def _printed(program: Path, label: str) -> bytes:
    ask = ["--vault-id", label or "default"] if program.stem.endswith("-client") else []
    done = run([str(program.absolute()), *ask], _SECONDS)
    if done.returncode:
        raise _no_password(program, f"it ended with status {done.returncode}")
    return done.stdout


def _no_password(file: Path, what: str) -> InputError:
    hint = "run it by hand to see why, or give another --vault-password-file"
    message = f"there is no vault password in {file}: {what}"
    return InputError(Mistake("vault-password-file", message, hint=hint))
