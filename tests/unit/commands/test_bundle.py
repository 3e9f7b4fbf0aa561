"""Build a bundle from a playbook, and compare two."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

import relocatable
from repositories import committed
from shipit.archive import file, smoke, sources
from shipit.archive.compare import Change
from shipit.archive.manifest import target_of
from shipit.commands import bundle
from shipit.errors import InputError, Mistake
from shipit.playbook.project import pinned
from shipit.project.cache import Cache, sha256_of
from shipit.release.inputs import RunOptions
from shipit.rollout.prepare import wanted_by
from signing import Key
from tiny_backend import write_project
from wheelhouse import Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.events import Event

X86, ARM = "linux-x86_64-gnu2.36-cp311", "linux-aarch64-gnu2.31-cp313"
PLAYBOOK = """\
app: billing
hosts: all
project: project
wheelhouse: wheels
secrets: {PASSWORD: "command:false"}
services: {web: {command: python -m billing}}
"""


class Site:
    """A playbook with a project, and the notes of building it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, list[str]()
        project = write_project(folder / "project", "billing")
        write_wheel(folder / "wheels", Recipe("pip", "24.0"))
        wheel = write_wheel(folder / "wheels", Recipe("alpha"))
        write_lock(project / "requirements.lock", [wheel])
        self.module = project / "billing.py"
        committed(folder)
        (folder / "inventory.yaml").write_text("all: {hosts: {web1: {}}}\n")
        (folder / "playbook.yaml").write_text(PLAYBOOK)

    def build(self, *targets: str) -> list[Path]:
        def note(event: Event) -> None:
            self.notes.append(str(getattr(event, "text", event)))

        run = RunOptions(self.folder / "playbook.yaml", (self.folder / "inventory.yaml",))
        return bundle.build(run, note, targets, self.folder / "dist")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)


def test_one_bundle_is_for_all_targets_and_needs_no_secret(site: Site) -> None:
    (path,) = site.build(X86, ARM)
    assert path.name == f"billing-1.0.0-{ARM}+{X86}.shipit"
    found = file.read(path, Cache(site.folder / "cache"))
    assert [each.target for each in found.manifest.targets] == [ARM, X86]
    assert (found.manifest.lock, found.manifest.is_dirty) == ("requirements.lock", False)
    assert len(found.manifest.commit) == 40


def brought(folder: Path) -> str:
    """Return a playbook with a Python of this machine's kind, and the target that it is for."""
    archive = relocatable.write(folder / "pythons", is_whole=True)
    pinned_one = f"{{path: pythons/{archive.name}, sha256: {sha256_of(archive)}}}"
    (folder / "playbook.yaml").write_text(
        f"{PLAYBOOK}python: {{source: bundle, archives: [{pinned_one}]}}\n"
    )
    libc, short = platform.libc_ver()[1], relocatable.SHORT.removeprefix("python").replace(".", "")
    return f"linux-{platform.machine()}-gnu{libc}-cp{short}"


def test_a_python_comes_with_the_bundle_and_is_tried_with_it(site: Site) -> None:
    target = brought(site.folder)
    (path,) = site.build(target)
    assert f"tried on this machine, as on {target}" in " ".join(site.notes)
    found = bundle.read(pinned(str(path)))
    (python,) = (each for each in found.manifest.artifacts.values() if each.python)
    assert (python.python, found.manifest.targets[0].python) == (relocatable.VERSION, python.sha256)
    first = path.read_bytes()
    assert site.build(target)[0].read_bytes() == first
    with pytest.raises(InputError, match="no archive of `python`") as caught:
        site.build(target.rpartition("-")[0] + "-cp399")
    assert caught.value.mistakes[0].code == "no-such-python"

    loaded = sources.load(found)
    libc = target_of(target).libc
    best = loaded.interpreters.best(platform.machine(), libc)
    assert (best.sha256, best.version) == (python.sha256, relocatable.VERSION)
    assert loaded.interpreters.digests() == (python.sha256,)
    assert python.sha256 not in loaded.digests()
    begin = loaded.offsets[python.sha256]  # hosts may fetch it from there
    assert first[begin : begin + python.size] == best.path.read_bytes()
    with pytest.raises(InputError, match="no Python for riscv64 with glibc"):
        loaded.interpreters.best("riscv64", libc)


def test_a_bundle_whose_python_does_not_run_here_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = brought(site.folder)
    monkeypatch.setattr(smoke, "_unpacked", lambda *_: "/bin/false")
    with pytest.raises(InputError, match="make a venv") as caught:
        site.build(target)
    assert caught.value.mistakes[0].code == "import-failed"


def test_a_word_that_is_no_target_is_refused(site: Site) -> None:
    with pytest.raises(InputError) as caught:
        site.build("debian-12")
    assert caught.value.mistakes[0].code == "target-unknown"


def test_a_playbook_without_a_project_has_nothing_to_build(site: Site) -> None:
    text = (site.folder / "playbook.yaml").read_text()
    wheel = write_wheel(site.folder / "dist", Recipe("billing"))
    other = f"wheel: dist/{wheel.name}\nlock: project/requirements.lock"
    (site.folder / "playbook.yaml").write_text(text.replace("project: project", other))
    with pytest.raises(InputError) as caught:
        site.build(X86)
    assert [mistake.code for mistake in caught.value.mistakes] == ["no-project"]


def test_two_bundles_differ_in_files_and_commits(site: Site) -> None:
    (first,) = site.build(X86)
    old = first.rename(site.folder / "old.shipit")
    site.module.write_text("VERSION = 'another'\n")
    (site.folder / "playbook.yaml").write_text(PLAYBOOK + "env: {PORT: '8000'}\n")
    committed(site.folder)
    (new,) = site.build(X86)
    found = bundle.diff(*(bundle.read(pinned(str(path))) for path in (old, new)))
    assert [(each.kind, each.name) for each in found.changes] == [
        ("revision", ""),
        ("env", "web PORT"),
        ("file", "lib/python/site-packages/billing.py"),
    ]
    assert [line.partition(" ")[2] for line in found.commits] == ["a change"]
    same = bundle.read(pinned(str(new)))
    assert bundle.diff(same, same) == bundle.Difference([], ())
    assert isinstance(found.changes[0], Change)


def test_a_tree_differs_in_the_files_that_were_changed(site: Site) -> None:
    (site.module.parent / "pyproject.toml").unlink()
    committed(site.folder)
    made = []
    for name in ("old", "new"):
        site.module.write_text(f"VERSION = {name!r}\n")
        committed(site.folder)
        (path,) = site.build(X86)
        made.append(bundle.read(pinned(str(path.rename(site.folder / f"{name}.shipit")))))
    found = [(each.kind, each.name) for each in bundle.diff(*made).changes]
    assert [each for each in found if each[0] == "file"] == [("file", "app/billing.py")]


def test_hosts_of_two_projects_get_a_bundle_of_each(site: Site) -> None:
    other = write_project(site.folder / "other", "shop")
    (other / "requirements.lock").write_text("")
    text = PLAYBOOK.replace("project: project", 'project: "{{ folder }}"')
    (site.folder / "playbook.yaml").write_text(text)
    hosts = "all: {hosts: {web1: {folder: project}, web2: {folder: other}, web3: {folder: other}}}"
    (site.folder / "inventory.yaml").write_text(hosts)
    assert [path.name.split("-")[0] for path in site.build(X86)] == ["billing", "shop"]


def test_a_folder_that_cannot_be_written_is_named(site: Site) -> None:
    (site.folder / "dist").write_text("a file")
    with pytest.raises(InputError) as caught:
        site.build(X86)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, "--out" in mistake.hint) == ("bundle-unwritable", True)


def test_a_bundle_is_shipped_where_there_is_no_project(site: Site) -> None:
    (path,) = site.build(X86)
    shutil.rmtree(site.folder / "project")
    playbook = site.folder / "playbook.yaml"
    playbook.write_text(PLAYBOOK.replace("command:false", "command:echo x"))
    inventory = (site.folder / "inventory.yaml",)
    run = RunOptions(playbook, inventory, bundle=pinned(str(path)))
    ((wanted,),) = wanted_by(run, lambda _: None)
    assert wanted.sources.app.pin == "billing==1.0.0"
    with pytest.raises(InputError, match="a folder that exists"):
        wanted_by(replace(run, bundle=None), lambda _: None)


def test_what_it_is_is_plain_data(site: Site) -> None:
    (path,) = site.build(X86)
    facts = bundle.facts(bundle.read(pinned(str(path))))
    assert facts["version"] == "1.0.0"
    assert facts["targets"] != []


@dataclass
class Signed:
    """A site whose playbook asks for signatures, a bundle of it, and a key that it knows."""

    site: Site
    path: Path
    key: Key

    def deploys(self, *, is_bundle: bool = True) -> str:
        """Read all input of a deploy; return what is noted."""
        run = RunOptions(self.site.folder / "playbook.yaml", (self.site.folder / "inventory.yaml",))
        notes = list[str]()
        wanted_by(
            replace(run, bundle=pinned(str(self.path)) if is_bundle else None),
            lambda event: notes.append(str(getattr(event, "text", ""))),
        )
        return "\n".join(notes)

    def refused(self, *, is_bundle: bool = True) -> Mistake:
        with pytest.raises(InputError) as caught:
            self.deploys(is_bundle=is_bundle)
        (mistake,) = caught.value.mistakes
        return mistake


@pytest.fixture
def signed(site: Site) -> Signed:
    key = Key.make(site.folder / "keys")
    playbook = PLAYBOOK.replace("command:false", "command:echo x")
    (site.folder / "playbook.yaml").write_text(f"{playbook}signers: signers\n")
    (site.folder / "signers").write_text(key.line("alice@example.com"))
    (path,) = site.build(X86)  # a playbook that names signers builds what they will sign
    return Signed(site, path, key)


def test_where_the_playbook_names_signers_their_bundles_are_shipped(signed: Signed) -> None:
    path = bundle.sign(signed.path, signed.key.path)
    assert path == signed.path.with_name(f"{signed.path.name}.sig")
    assert f"{signed.path.name} is signed by alice@example.com" in signed.deploys()
    found = bundle.read(pinned(str(signed.path)))
    by = bundle.signed_by(found, signed.site.folder / "signers")
    assert by == bundle.Signature(bundle.signed_by(found, None).key, "alice@example.com")
    assert by.key.startswith("ED25519 SHA256:")


def test_what_they_have_not_signed_is_not_shipped(signed: Signed) -> None:
    project = signed.refused(is_bundle=False)
    assert (project.code, "shipit build PLAYBOOK; shipit sign" in project.hint) == (
        "unsigned",
        True,
    )
    assert signed.refused().code == "unsigned"
    bundle.sign(signed.path, Key.make(signed.site.folder, "other").path)
    assert signed.refused().code == "signature-refused"
    bundle.sign(signed.path, signed.key.path)
    with (signed.site.folder / "signers").open("w") as stream:
        stream.write(signed.key.line("alice@example.com", 'valid-before="20200101"'))
    assert signed.refused().code == "signature-refused"


def test_one_whose_file_of_signers_is_missing_is_not_shipped(signed: Signed) -> None:
    bundle.sign(signed.path, signed.key.path)
    (signed.site.folder / "signers").unlink()
    assert signed.refused().code == "playbook-value"


def test_a_bundle_that_was_changed_is_not_signed(signed: Signed) -> None:
    with signed.path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="no whole bundle"):
        bundle.sign(signed.path, signed.key.path)
