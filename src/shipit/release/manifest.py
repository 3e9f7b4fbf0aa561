"""Build the manifest of a release on one host, and its id, which is derived from its contents.

Pure. The id covers everything that makes up the release: every wheel, the Python it runs on, units,
files, env and the gate; not who built it or when. Equal contents have equal ids on every host, so a
deploy of the running release is recognized before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from shipit.agent.protocol import manifest, messages
from shipit.bundle.select import requirements_txt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.bundle.select import Bundle
    from shipit.bundle.wheel import Wheel
    from shipit.playbook.models import Deployment
    from shipit.render.units import ReleaseTexts

DIGITS = 8  # of the digest in an id: enough within one app, short enough to read aloud
READ = ("host", "port", "socket", "url", "command")  # of a check, from its target
SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # RFC 7914; about 50 ms, so that guessing a secret is slow


class SlowDigests:
    """Slow digests (scrypt) of texts that hold secrets, each computed only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, text: str, salt: str) -> str:
        key = (text, salt)
        if key not in self._known:
            made = hashlib.scrypt(text.encode(), salt=salt.encode(), dklen=32, **SCRYPT)
            self._known[key] = made.hex()
        return self._known[key]


@dataclass(frozen=True)
class Origin:
    """Who built a release, and when: in the manifest, but not part of the id."""

    who: str
    when: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Parts:
    """The contents of a release on one host, before it has a name.

    Attributes:
        env: the text of each service's env file; holds secrets.
        keys: the names of the variables in it.
        secret: those of them whose values may not be shown.
    """

    deployment: Deployment
    bundle: Bundle
    texts: ReleaseTexts
    gate: manifest.Gate
    smoke: tuple[str, ...]
    interpreter: messages.Interpreter
    env: Mapping[str, str] = field(repr=False)
    keys: Mapping[str, tuple[str, ...]]
    secret: Mapping[str, tuple[str, ...]]


def release_id(unnamed: Parts, digests: SlowDigests) -> str:
    """Return `<version>-<digest>` for parts that were rendered with a placeholder for the id."""
    deployment = unnamed.deployment
    contents = {
        "bundle": unnamed.bundle.digest,
        "python": unnamed.interpreter.version.rsplit(".", 1)[0],
        "root": str(deployment.root),
        "user": deployment.user,
        "units": [_without(asdict(unit), "command", "listen") for unit in unnamed.texts.units],
        "texts": dict(sorted(unnamed.texts.texts.items())),
        "modes": dict(sorted(unnamed.texts.modes.items())),
        "env": {
            service: digests(text, f"shipit release {deployment.app}")
            for service, text in sorted(unnamed.env.items())
        },
        "secret": dict(sorted(unnamed.secret.items())),
        "gate": {
            **asdict(unnamed.gate),
            "checks": [_without(asdict(check), *READ) for check in unnamed.gate.checks],
        },
        "smoke": unnamed.smoke,
    }
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return f"{_file_safe(unnamed.bundle.version)}-{digest[:DIGITS]}"


def _without(fields: dict[str, object], *names: str) -> dict[str, object]:
    """Return fields without those that the texts or the target of a check determine."""
    return {name: value for name, value in fields.items() if name not in names}


def _file_safe(version: str) -> str:
    """Return the version as a plain file name: PEP 440 allows `!` and `+` in one."""
    return re.sub(r"[^A-Za-z0-9.]", "-", version)


def build(name: str, parts: Parts, origin: Origin, digests: SlowDigests) -> manifest.Manifest:
    """Return the manifest of the release called `name`, whose parts were rendered with it."""
    deployment, bundle = parts.deployment, parts.bundle
    return manifest.Manifest(
        id=name,
        app=deployment.app,
        version=bundle.version,
        root=str(deployment.root),
        user=deployment.user,
        interpreter=parts.interpreter.path,
        installer=bundle.installer.name,
        installer_wheel=_artifact(bundle.installer),
        app_wheel=_artifact(bundle.app),
        wheels=tuple(_artifact(wheel) for wheel in bundle.wheels),
        requirements=requirements_txt(bundle),
        bundle=bundle.digest,
        units=parts.texts.units,
        texts=tuple(
            manifest.Rendered(path, parts.texts.modes.get(path, 0o644), _sha256(text))
            for path, text in sorted(parts.texts.texts.items())
        ),
        env=tuple(
            manifest.EnvDigest(
                service, parts.keys[service], name, digests(text, name), parts.secret[service]
            )
            for service, text in sorted(parts.env.items())
        ),
        gate=parts.gate,
        smoke=parts.smoke,
        keep_releases=deployment.keep_releases,
        created=origin.when,
        created_by=origin.who,
    )


def _artifact(wheel: Wheel) -> manifest.Artifact:
    return manifest.Artifact(wheel.name, wheel.version, wheel.filename, wheel.sha256, wheel.size)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
