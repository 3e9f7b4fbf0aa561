"""Build the manifest of a release on one host, and its id, which is derived from its contents.

Pure. The id covers everything that makes up the release: every wheel, the Python it runs on, units,
files, env and the gate; not who built it or when. Equal contents have equal ids on every host, so a
deploy of the running release is recognized before anything is sent.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from shipit.agent.protocol import manifest
from shipit.agent.protocol.answers import Interpreter
from shipit.bundle.select import requirements_txt
from shipit.render import commands, units
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.agent.protocol.balancers import LoadBalancer
    from shipit.agent.protocol.messages import Attempt
    from shipit.bundle.select import Bundle
    from shipit.bundle.wheel import Wheel
    from shipit.render.units import ReleaseTexts, Values

    Digest = Callable[[str, str], str]  # of a text and a salt

DIGITS = 8  # of the digest in an id: enough within one app, short enough to read aloud
READ = ("host", "port", "socket", "url", "command")  # of a check, from its target
SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # RFC 7914; about 50 ms, so that guessing a secret is slow


def slow_digest(text: str, salt: str) -> str:
    """Return a slow digest (scrypt) of a text that holds secrets; a run computes each once."""
    return hashlib.scrypt(text.encode(), salt=salt.encode(), dklen=32, **SCRYPT).hex()


def keyed(nonce: str, value: str) -> str:
    """Return the digest by which controller and host compare a value without revealing it."""
    return hmac.new(bytes.fromhex(nonce), value.encode(), hashlib.sha256).hexdigest()


def release_id(
    stand_in: ReleaseTexts, bundle: Bundle, interpreter: Interpreter, digest: Digest
) -> str:
    """Return `<version>-<digest>` for a release that was rendered with a stand-in for its id."""
    deployment, gate = stand_in.deployment, units.gate(stand_in.deployment)
    contents: dict[str, object] = {
        "bundle": bundle.digest,
        # Of one that comes with the release, every byte counts.
        "python": bundle.python.sha256 if bundle.python else interpreter.version.rsplit(".", 1)[0],
        "root": str(deployment.root),
        "user": deployment.user,
        "units": [_without(asdict(unit), "command", "listen") for unit in stand_in.units],
        "texts": stand_in.texts,
        "modes": stand_in.modes,
        "env": {
            service: digest(text, _salt(deployment.app))
            for service, text in stand_in.env_files.items()
        },
        "secret": {service: secret_keys(values) for service, values in stand_in.env.items()},
        "gate": {
            **asdict(gate),
            "checks": [_without(asdict(check), *READ) for check in gate.checks],
        },
        "smoke": commands.smoke(deployment),
    }
    # The ids of releases without these are older than them.
    if stand_in.hooks:
        contents["hooks"] = [asdict(hook) for hook in stand_in.hooks]
    if stand_in.migration:
        contents["migration"] = asdict(stand_in.migration)
    if stand_in.balancer:
        contents["balancer"] = _of_all_hosts(stand_in.balancer)
    if stand_in.assets:
        contents["assets"] = asdict(stand_in.assets)
    if watch := units.watch(deployment):
        contents["watch"] = asdict(watch)
    found = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return f"{_file_safe(bundle.version)}-{found[:DIGITS]}"


def _of_all_hosts(balancer: LoadBalancer) -> dict[str, object]:
    """Return a load balancer without this host's name there: equal releases have equal ids."""
    found = balancer.haproxy
    return asdict(replace(balancer, haproxy=replace(found, server="") if found else None))


def _salt(app: str) -> str:
    """Return the salt of env files, of all releases: an unchanged one is digested once."""
    return f"shipit release {app}"


def secret_keys(values: Values) -> tuple[str, ...]:
    return tuple(sorted(key for key, value in values.items() if isinstance(value, Secret)))


def _without(fields: dict[str, object], *names: str) -> dict[str, object]:
    """Return fields without those that the texts or the target of a check determine."""
    return {name: value for name, value in fields.items() if name not in names}


def _file_safe(version: str) -> str:
    """Return the version as a plain file name: PEP 440 allows `!` and `+` in one."""
    return re.sub(r"[^A-Za-z0-9.]", "-", version)


def build(
    name: str,
    made: ReleaseTexts,
    bundle: Bundle,
    interpreter: Interpreter,
    attempt: Attempt,
    digest: Digest,
) -> manifest.Manifest:
    """Return the manifest of the release called `name`, which was rendered with that."""
    deployment = made.deployment
    return manifest.Manifest(
        id=name,
        app=deployment.app,
        version=bundle.version,
        root=str(deployment.root),
        user=deployment.user,
        interpreter=interpreter.path,
        installer=bundle.installer.name,
        installer_wheel=_artifact(bundle.installer),
        app_wheel=_artifact(bundle.app),
        wheels=tuple(_artifact(wheel) for wheel in bundle.wheels),
        requirements=requirements_txt(bundle),
        bundle=bundle.digest,
        units=made.units,
        texts=tuple(
            manifest.Rendered(path, made.modes[path], hashlib.sha256(text.encode()).hexdigest())
            for path, text in sorted(made.texts.items())
        ),
        env=tuple(
            manifest.EnvDigest(
                service,
                tuple(sorted(values)),
                _salt(deployment.app),
                digest(made.env_files[service], _salt(deployment.app)),
                secret_keys(values),
            )
            for service, values in sorted(made.env.items())
        ),
        gate=units.gate(deployment),
        smoke=commands.smoke(deployment),
        keep_releases=deployment.keep_releases,
        created=attempt.started,
        created_by=attempt.who,
        python=_python(bundle),
        hooks=made.hooks,
        migration=made.migration,
        balancer=made.balancer,
        assets=made.assets,
        watch=units.watch(deployment),
    )


def _artifact(wheel: Wheel) -> manifest.Artifact:
    return manifest.Artifact(wheel.name, wheel.version, wheel.filename, wheel.sha256, wheel.size)


def _python(bundle: Bundle) -> manifest.Python | None:
    """Return the interpreter that comes with a release."""
    if not (python := bundle.python):
        return None
    file = (python.version, python.filename, python.sha256, python.size)
    return manifest.Python(*file, python.program, python.entries, python.unpacked)


def interpreter_of(bundle: Bundle, machine: str) -> Interpreter:
    """Return the interpreter that comes with a release, as it will be on a host."""
    if not (python := _python(bundle)):
        raise AssertionError("no interpreter comes with this release")
    return Interpreter(python.path(), python.version, "cpython", machine)
