"""A host that takes only what known keys have signed, with its own ssh-keygen."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from hosts.test_project import SERVICES, committed, served
from hosts.workspace import PORT, Done, Workspace
from repositories import git
from shipit.lab.lab import Lab
from signing import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNERS = "/etc/shipit/allowed_signers"
# What a deploy would leave: in shipit's own folder (but for the agent), the app's root, its units,
# its account.
LEFT = (
    "find /var/lib/shipit /opt /etc/systemd/system -not -path '*/agent/*' -mindepth 1"
    " -printf '%p %T@ %s\\n' | sort; getent passwd tinyapp || true"
)


@dataclass
class Site:
    """A host, a project, a key that the host knows, and bundles of the project."""

    workspace: Workspace
    key: Key

    def bundle(self, name: str) -> Path:
        """Return a bundle of the project with another content, which nobody has signed."""
        folder = self.workspace.folder
        for made in folder.glob(f"bundles/{name}/*.shipit"):
            made.with_name(f"{made.name}.sig").unlink(missing_ok=True)
            return made
        committed(folder / "site", name)
        built = self.workspace.shipit("build", "--json", "--out", f"bundles/{name}")
        assert built.status == 0, built.output
        return folder / str(built.result["bundles"][0])

    def signed(self, name: str, key: Key | None = None) -> Path:
        path, key = self.bundle(name), key or self.key
        done = self.workspace.run("sign", str(path), "--key", str(key.path))
        assert done.status == 0, done.output
        return path

    def knows(self, *lines: str) -> None:
        text = "".join(lines)
        self.sh(f"install -d -m 755 /etc/shipit; rm -f {SIGNERS}")
        self.sh(f"cat > {SIGNERS} <<'EOF'\n{text}\nEOF\nchmod 644 {SIGNERS}")

    def sh(self, script: str) -> str:
        return self.workspace.sh("web1", script)

    def deploy(self, bundle: Path | None) -> Done:
        return self.workspace.shipit("deploy", *(("--bundle", str(bundle)) if bundle else ()))

    def refused(self, bundle: Path | None, code: str) -> str:
        """Show that a deploy is refused, by plan as well, and that it leaves nothing."""
        words = ("--bundle", str(bundle)) if bundle else ()
        plan = self.workspace.shipit("plan", *words)
        assert (plan.status, f"[{code}]" in plan.output) == (3, True), plan.output
        before = self.sh(LEFT)
        done = self.deploy(bundle)
        assert (done.status, f"[{code}]" in done.output) == (3, True), done.output
        assert self.sh(LEFT) == before
        return done.output


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a host without a release, and a project in git."""
    lab.reset("web1")
    return site_on(lab, tmp_path_factory.mktemp("signed"))


def site_on(lab: Lab, folder: Path) -> Site:
    made = Workspace.set(folder, lab, hosts=["web1"])
    made.env["SHIPIT_CACHE_DIR"] = str(made.folder / "cache")
    tinyapp = wheelhouse.tinyapp_wheel(made.wheels)
    project = made.folder / "site"
    (project / "mysite").mkdir(parents=True)
    (project / "manage.py").write_text("import mysite\n")
    wheelhouse.write_lock(project / "requirements.txt", [tinyapp])
    git(project, "init", "-q")
    committed(project, "none")
    made.playbook(
        project="site", wheel=None, lock=None, services=SERVICES, health=[{"tcp": PORT}], smoke=None
    )
    return Site(made, Key.make(made.folder / "keys"))


@pytest.fixture
def strict(site: Site) -> Iterator[Site]:
    """Give a host that knows one key."""
    site.knows(site.key.line("alice@example.com"))
    yield site
    site.sh("rm -rf /etc/shipit")


def test_what_is_not_signed_is_refused_and_leaves_nothing(strict: Site) -> None:
    strict.refused(None, "unsigned")
    strict.refused(strict.bundle("unsigned"), "unsigned")
    doctor = strict.workspace.shipit("doctor")
    assert "unsigned" in doctor.output


def test_a_signature_by_no_key_of_the_host_is_refused(strict: Site) -> None:
    unknown = Key.make(strict.workspace.folder / "keys", "unknown")
    strict.refused(strict.signed("unknown", unknown), "signature-refused")
    bundle = strict.signed("one")
    strict.knows()
    assert "No principal matched" in strict.refused(bundle, "signature-refused")
    strict.knows(strict.key.line("alice@example.com", 'valid-before="20200101"'))
    assert "expired" in strict.refused(bundle, "signature-refused")
    strict.knows(strict.key.line("alice@example.com", 'namespaces="git"'))
    assert "not permitted" in strict.refused(bundle, "signature-refused")


def test_a_signature_of_something_else_is_refused(strict: Site) -> None:
    bundle, other = strict.signed("one"), strict.bundle("two")
    signature = Path(f"{bundle}.sig")
    shutil.copy(signature, f"{other}.sig")  # as if a wheel was swapped after it was signed
    strict.refused(other, "signature-refused")
    text = strict.workspace.run("inspect", str(bundle), "--json")
    assert text.result["signed"]["name"] == ""
    signature.write_text(signature.read_text().replace("AAAA", "AAAB", 1))
    strict.refused(bundle, "signature-refused")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (f"chmod 666 {SIGNERS}", "signers-untrusted"),
        (f"chown nobody {SIGNERS}", "signers-untrusted"),
        ("chmod 777 /etc/shipit", "signers-untrusted"),
        (f"ln -sf /nonexistent {SIGNERS}", "signers-unusable"),
        (f"rm {SIGNERS}; mkdir {SIGNERS}", "signers-unusable"),
        ("mv /usr/bin/ssh-keygen /usr/bin/ssh-keygen.away", "signature-unchecked"),
    ],
)
def test_a_host_that_cannot_tell_takes_nothing(strict: Site, change: str, code: str) -> None:
    bundle = strict.signed("one")
    strict.sh(change)
    try:
        strict.refused(bundle, code)
    finally:
        strict.sh(
            "[ ! -e /usr/bin/ssh-keygen.away ] || mv /usr/bin/ssh-keygen.away /usr/bin/ssh-keygen"
        )


def test_a_disk_that_is_read_only_does_not_hide_what_is_wrong(strict: Site) -> None:
    bundle, store = strict.signed("one"), "/var/lib/shipit"
    strict.workspace.shipit("plan", "--bundle", str(bundle))  # brings the agent
    strict.sh(
        f"cp -a {store} /run/store && mount -t tmpfs -o mode=700 store {store}"
        f" && cp -a /run/store/. {store} && mount -o remount,ro {store}"
        "; install -D /dev/null /opt/tinyapp/other"
    )
    try:
        plan = strict.workspace.shipit("plan", "--bundle", str(bundle))
    finally:
        strict.sh(f"umount {store}; rm -rf /run/store /opt/tinyapp")
    for code in ("[read-only]", "[root-foreign]"):
        assert code in plan.output, plan.output


def test_what_is_signed_is_deployed_and_a_rollback_needs_no_signature(strict: Site) -> None:
    first, second = strict.signed("one"), strict.signed("two")
    done = strict.workspace.shipit("deploy", "--bundle", str(first), "-v")
    assert done.status == 0, done.output
    assert "alice@example.com" in done.output
    assert served(strict.workspace, "mysite/__init__.py") == "NAME = 'one'\n"
    assert "signed by alice@example.com" in strict.workspace.shipit("releases").output
    assert "unchanged" in strict.deploy(first).output
    assert strict.deploy(second).status == 0
    strict.knows()
    assert strict.workspace.shipit("rollback").status == 0
    assert served(strict.workspace, "mysite/__init__.py") == "NAME = 'one'\n"
    strict.refused(strict.signed("three"), "signature-refused")
    assert strict.workspace.shipit("status").status == 0
    strict.sh("rm -rf /etc/shipit")
    assert strict.deploy(strict.bundle("four")).status == 0, "a host that does not ask"


def test_an_older_ssh_keygen_takes_what_it_understands(
    lab_machine: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Debian 11 has OpenSSH 8.4, which knows no expiry: such a key signs nothing there."""
    folder = tmp_path_factory.mktemp("bullseye")
    with Lab.up(["web1"], folder, suite="bullseye", timeout=180) as lab:
        site = site_on(lab, folder)
        bundle = site.signed("one")
        options = 'namespaces="shipit",valid-before="20990101"'
        site.knows(site.key.line("alice@example.com", options))
        assert "unknown key option" in site.refused(bundle, "signature-refused")
        site.knows(site.key.line("alice@example.com,bob@example.com"))
        done = site.deploy(bundle)
        assert done.status == 0, done.output
        site.knows()
        site.refused(site.bundle("two"), "unsigned")
