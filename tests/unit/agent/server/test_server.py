"""One controller over one channel: it is answered, and what it leaves behind is put right."""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

import agent_builders
from agent_builders import NoSystemd
from file_server import serving
from hostile_frames import TO_HOST, Mutator
from marks import needs_root
from patience import until
from shipit.agent.protocol import manifest as manifests
from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Drift, Result
from shipit.agent.protocol.pulls import Piece, Pull, Pulled
from shipit.agent.records import history, releases
from shipit.agent.server import channel, edge, server
from shipit.agent.staging import preflight
from shipit.agent.storage import blobs as blob_store
from shipit.agent.system import files, folders
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client
from shipit.agent.transaction.store import Store
from shipit.transport import agent_zip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.agent.host.host import Host

ENV = 'TOKEN="s3cret"\n'
TEXTS = {f"units/{agent_builders.UNIT}": agent_builders.SERVICE, "files/app.ini": "[app]\n"}
NONCE = "00ff" * 8
REQUESTS = int(os.environ.get("FUZZ", "4000")) // 40  # broken ones that a whole server answers


class Controller:
    """The other end of a server that runs in a thread of this process."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.paths = Paths(
            "demo", str(folder / "opt"), var=str(folder / "var"), units=str(folder / "units")
        )
        Path(self.paths.units).mkdir(exist_ok=True)
        to_read, to_write = os.pipe(), os.pipe()
        self._agent_in = to_read[0]
        self.out: BinaryIO = os.fdopen(to_read[1], "wb")
        self.answers: BinaryIO = os.fdopen(to_write[0], "rb")
        self._agent_out = to_write[1]
        made = channel.Channel(self._agent_in, self._agent_out)
        self.server = server.Server(made, host, self.place, "/nowhere/agent.pyz")
        self.thread = threading.Thread(target=self._serve)
        self.status: int | None = None
        self.channel = made
        self.thread.start()

    @property
    def store(self) -> Store:
        return Store(self.paths, self.server.host)

    def place(self, app: str, root: str) -> Paths:
        return replace(self.paths, app=app)

    def _serve(self) -> None:
        self.status = edge.guarded(self.channel, self.server.serve)
        os.close(self._agent_out)

    def send(self, message: object, body: bytes = b"") -> None:
        messages.write(self.out, message, body)

    def answer(self) -> Any:  # noqa: ANN401 - any word of protocol
        frame = messages.read(self.answers)
        return frame.message if frame else None

    def ask(self, message: object, *kinds: type) -> Any:  # noqa: ANN401 - any word of protocol
        """Send a request and return its answer; steps on the way are passed over."""
        self.send(message)
        while True:
            word = self.answer()
            if not isinstance(word, (messages.StepBegan, messages.StepEnded)):
                return word

    def hello(self, blobs: Sequence[str] = (), nonce: str = "") -> messages.Facts:
        facts = self.ask(messages.Hello("demo", self.paths.root, tuple(blobs), nonce))
        assert isinstance(facts, messages.Facts)
        return facts

    def leave(self) -> None:
        self.out.close()
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextmanager
def talking(folder: Path, host: Host | None = None) -> Iterator[Controller]:
    controller = Controller(folder, host or NoSystemd())
    try:
        yield controller
    finally:
        controller.leave()
        controller.answers.close()
        os.close(controller._agent_in)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(preflight, "SYSTEMD_RUNS", "/")  # this machine may be run by another init
    return tmp_path


def request(controller: Controller, txn: str = "txn-1", **env: str) -> messages.Stage:
    bundle = agent_builders.bundle(Path(controller.paths.var).parent / "wheels")
    agent_builders.receive(controller.paths, bundle.all)
    env = env or {"web": ENV}
    manifest = agent_builders.manifest(controller.paths, bundle, texts=TEXTS, env=env)
    return agent_builders.stage(manifest, TEXTS, env, txn)


def commit(controller: Controller, manifest: manifests.Manifest) -> None:
    """Make as if what is staged had been switched to and committed."""
    entry = history.Entry("txn-1", "deploy", manifest.id, "1.0.0", "", "committed", "dev", "now")
    history.append(controller.paths, entry)
    controller.store.close()
    Path(controller.paths.current).symlink_to(f"releases/{manifest.id}")
    for name in releases.unit_texts(controller.paths, manifest):
        unit = Path(controller.paths.units) / name
        unit.write_text(agent_builders.SERVICE)


# --- hello -------------------------------------------------------------------------------------


def test_an_empty_host_reports_what_it_is(folder: Path) -> None:
    with talking(folder) as controller:
        facts = controller.hello(blobs=["0" * 64])
    assert facts.protocol == messages.VERSION
    assert facts.machine == os.uname().machine
    assert facts.systemd == 252
    assert facts.libc[0] == "glibc"
    assert facts.free_bytes > 0
    assert facts.interpreters
    assert (facts.current, facts.healthy, facts.present) == (None, False, ())
    assert (facts.releases, facts.holder, facts.recovered, facts.stuck) == ((), None, "", "")


@needs_root
def test_a_host_reports_its_release_without_its_secrets(folder: Path) -> None:
    host = NoSystemd()
    with talking(folder, host) as controller:
        controller.hello()
        stage = request(controller)
        assert isinstance(controller.ask(stage), messages.Staged)
        commit(controller, stage.manifest)
        digests = [artifact.sha256 for artifact in stage.manifest.artifacts()]
        facts = controller.hello(digests, NONCE)
        assert facts.current == stage.manifest
        assert facts.present == tuple(digests)
        assert facts.units == {agent_builders.UNIT: agent_builders.SERVICE}
        expected = hmac.new(bytes.fromhex(NONCE), b"s3cret", "sha256").hexdigest()
        assert facts.env == {"web": {"TOKEN": expected}}
        assert [(line.id, line.running) for line in facts.releases] == [(stage.manifest.id, True)]
        assert facts.healthy
        host.inactive.add(agent_builders.UNIT)
        assert not controller.hello().healthy
        host.inactive.clear()
        Path(controller.paths.current).unlink()
        assert not controller.hello().healthy


@pytest.mark.parametrize(
    ("app", "root"), [("../x", "/opt/x"), ("demo", "opt"), ("demo", "/"), ("demo", "/opt/../etc")]
)
def test_an_app_that_cannot_be_is_refused(folder: Path, app: str, root: str) -> None:
    with talking(folder) as controller:
        failure = controller.ask(messages.Hello(app, root))
    assert failure.code == "bad-request"
    assert controller.status == 1


@pytest.mark.parametrize("word", [messages.AskStatus(), messages.End()])
def test_an_unexpected_message_ends_the_session(folder: Path, word: object) -> None:
    with talking(folder) as controller:
        assert controller.ask(word).code == "bad-request"
        assert controller.answer() is None


# --- staging -----------------------------------------------------------------------------------


def parts(content: bytes) -> Iterator[tuple[messages.Part, bytes]]:
    digest = hashlib.sha256(content).hexdigest()
    size = 1 << 20
    for start in range(0, len(content), size):
        piece = content[start : start + size]
        yield messages.Part(digest, start, len(content)), piece


@needs_root
def test_blobs_come_on_the_same_channel(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        files.remove_tree(str(Path(controller.paths.incoming("")).parent))
        bundle = agent_builders.bundle(folder / "wheels")
        pieces = [piece for wheel in bundle.all for piece in parts(wheel.read_bytes())]
        for part, body in pieces:
            controller.send(part, body)
        controller.send(stage)
        kinds = [type(controller.answer()).__name__ for _ in range(7)]
    assert kinds == ["StepBegan", "StepEnded"] * 3 + ["Staged"]


def test_the_bulk_channel_takes_parts_and_sends_end(folder: Path) -> None:
    paths = Paths("", "/", var=str(folder / "var"))
    content = os.urandom(3 << 20)
    digest = hashlib.sha256(content).hexdigest()
    frames = b"".join(messages.pack(part, len(body)) + body for part, body in parts(content))
    with (folder / "in").open("wb") as stream:
        stream.write(frames)
    with (folder / "in").open("rb") as stdin, (folder / "out").open("wb") as stdout:
        assert server.receive(stdin.fileno(), stdout.fileno(), lambda _app, _root: paths) == 0
    answer = messages.read(io.BytesIO((folder / "out").read_bytes()))
    assert answer == messages.Frame(messages.End(), b"")
    assert blob_store.digest_of(paths.incoming(digest)) == digest


@needs_root
def test_what_was_staged_is_discarded_when_the_controller_leaves(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        assert isinstance(controller.ask(stage), messages.Staged)
        release = Path(controller.paths.release(stage.manifest.id).top)
        assert release.exists()
        controller.leave()
        assert not release.exists()
        assert controller.store.load() is None
        assert controller.status == 0
        assert files.lock_note(controller.paths.session_lock) is None


@needs_root
def test_what_was_staged_is_discarded_when_the_controller_is_silent(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        assert isinstance(controller.ask(stage), messages.Staged)
        controller.send(messages.Renew("txn-1", 0.2))  # the last word before the cable is cut
        controller.thread.join(60)
        assert not controller.thread.is_alive()
        assert controller.status == 0
        assert not Path(controller.paths.release(stage.manifest.id).top).exists()
        assert files.lock_note(controller.paths.session_lock) is None


@needs_root
def test_a_controller_that_goes_on_renewing_keeps_what_it_has_staged(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        assert isinstance(controller.ask(request(controller)), messages.Staged)
        for _ in range(5):
            controller.send(messages.Renew("txn-1", 60.0))
        assert controller.hello().holder is not None
        assert controller.channel.patience == 60.0
        assert not Path(controller.paths.lease).exists()  # nothing is switched: nothing runs out


def test_who_takes_no_lock_may_be_silent(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        assert controller.channel.patience is None


@needs_root
def test_a_holder_of_the_lock_must_keep_sending(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        controller.ask(request(controller))
        assert controller.channel.patience == server.FIRST_RENEWAL


@needs_root
def test_unstage_discards_and_reports_it(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        controller.ask(stage)
        settled = controller.ask(messages.Unstage("txn-1"))
        assert (settled.outcome, settled.running) == ("discarded", "")
        assert not Path(controller.paths.release(stage.manifest.id).top).exists()


@needs_root
def test_a_failed_stage_is_answered_and_the_next_one_works(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        broken = replace(stage, manifest=replace(stage.manifest, interpreter="/nowhere/python3"))
        assert controller.ask(broken).code == "no-interpreter"
        again = replace(stage, attempt=agent_builders.attempt("txn-2"))
        assert isinstance(controller.ask(again), messages.Staged)


def test_a_held_lock_names_its_owner(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        with controller.store.session(agent_builders.attempt("other")):
            assert controller.hello().holder is not None
            failure = controller.ask(
                messages.Activate(agent_builders.attempt(), "1.0.0-aaaaaaaa", lease=10.0)
            )
    assert failure.code == "locked"
    assert "dev@laptop" in failure.what


def test_switching_to_a_release_that_is_not_there_is_refused(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        activate = messages.Activate(agent_builders.attempt(what="rollback"), "nope", lease=10.0)
        assert controller.ask(activate).code == "release-missing"
        assert controller.store.load() is None


def test_a_lease_that_can_not_be_renewed_runs_out_and_answers_no_other_question(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(client, "renew", full)
    with talking(folder) as controller:
        controller.hello()
        controller.send(messages.Renew("txn-1", 10.0))
        assert controller.ask(messages.Attach()) == messages.End()


def test_a_verdict_that_can_not_be_written_ends_the_lease_and_is_reported_as_the_cause(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "no room", "/var/lib/shipit/txn/demo.verdict")

    def expires(store: Store, **_: object) -> Iterator[object]:
        paths = store.paths
        until(lambda: not Path(paths.lease).exists(), lambda: "the lease holds", 60)
        renewed.wait(60)
        assert not Path(paths.lease).exists()
        why = messages.Failure("lease-expired", "nobody confirmed the release", "check")
        yield messages.Settled("txn-1", Result.ROLLED_BACK, "r1", why)

    holder = messages.Holder(agent_builders.attempt(), 1, "check", 1.0)
    running = messages.Attached(holder, "r2", is_led=True)
    monkeypatch.setattr(client, "settle", full)
    monkeypatch.setattr(client, "attached", lambda _: running)
    monkeypatch.setattr(client, "follow", expires)
    renewed = threading.Event()
    with talking(folder) as controller:
        controller.hello()
        folders.make(controller.paths, str(Path(controller.paths.lease).parent))
        controller.store.write_lease("txn-1", 60.0)
        assert controller.ask(messages.Attach()) == running
        controller.send(messages.Settle("txn-1", "commit"))
        controller.send(messages.Renew("txn-1", 60.0))
        controller.hello()  # the renewal has been received by now
        renewed.set()
        settled = controller.answer()
    assert (settled.outcome, settled.failure.code) == ("rolled_back", "disk-full")


def test_attaching_where_nothing_runs_ends_at_once(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        assert controller.ask(messages.Attach()) == messages.End()


@needs_root
def test_a_survey_finds_and_touches_nothing(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        stage = request(controller)
        broken = replace(stage.manifest, interpreter="/nowhere/python3")
        findings = controller.ask(messages.Survey(broken, 0, TEXTS))
        assert [problem.code for problem in findings.problems] == ["no-interpreter"]
        assert not Path(controller.paths.root).exists()


# --- status ------------------------------------------------------------------------------------


@pytest.fixture
def deployed(folder: Path) -> Iterator[tuple[Controller, manifests.Manifest, NoSystemd]]:
    host = NoSystemd()
    with talking(folder, host) as controller:
        controller.hello()
        stage = request(controller)
        assert isinstance(controller.ask(stage), messages.Staged)
        commit(controller, stage.manifest)
        yield controller, stage.manifest, host


Deployed = tuple[Controller, manifests.Manifest, NoSystemd]


@needs_root
def test_a_release_as_it_was_staged_has_no_drift(deployed: Deployed) -> None:
    controller, manifest, _host = deployed
    status = controller.ask(messages.AskStatus())
    assert status.drift == ()
    assert (status.release, status.version, status.who) == (manifest.id, "1.0.0", "dev")
    (unit,) = status.units
    assert (unit.name, unit.active, unit.since) == (
        agent_builders.UNIT,
        "active/running",
        "1970-01-01T00:00:01+00:00",
    )


def site_packages(controller: Controller, manifest: manifests.Manifest) -> Path:
    venv = Path(controller.paths.release(manifest.id).venv)
    (found,) = venv.glob("lib/*/site-packages")
    return found


def edit(path: Path, text: str = "changed") -> str:
    """Change a file of its own inode: hard links of it elsewhere stay as they are."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


@needs_root
def test_every_kind_of_drift_is_named_with_its_path(deployed: Deployed) -> None:
    controller, manifest, host = deployed
    release = controller.paths.release(manifest.id)
    packages = site_packages(controller, manifest)
    expected = {
        f"{edit(Path(controller.paths.units) / agent_builders.UNIT)} was changed",
        f"{edit(Path(release.text('files/app.ini')))} was changed",
        f"{edit(packages / 'demodep.py')} was changed",
        f"{edit(packages / 'sitecustomize.py')} was added",
    }
    env = Path(release.env_file("web"))
    env.write_text('TOKEN="other"\n')
    env.chmod(0o644)
    (packages / "demoapp" / "unused.py").unlink()
    Path(controller.paths.blob(manifest.app_wheel.sha256)).unlink()
    host.inactive.add(agent_builders.UNIT)
    drift = {each.what for each in controller.ask(messages.AskStatus()).drift}
    assert expected <= drift
    rest = "\n".join(sorted(drift - expected))
    assert f"{env} was changed" in rest
    assert f"{env} can be read by users other" in rest
    assert f"{packages}/demoapp/unused.py is missing" in rest
    assert "is missing or was changed" in rest
    assert f"{agent_builders.UNIT} is inactive/dead instead of active" in rest
    assert len(drift) == 9


@needs_root
def test_a_changed_text_is_reason_enough_to_deploy_the_same_release_again(
    deployed: Deployed,
) -> None:
    controller, manifest, _host = deployed
    assert controller.hello().healthy
    edit(Path(controller.paths.release(manifest.id).text("files/app.ini")))
    assert not controller.hello().healthy


@needs_root
def test_a_manifest_that_is_not_the_committed_one_is_drift(deployed: Deployed) -> None:
    controller, manifest, _host = deployed
    digest = releases.manifest_digest(controller.paths, manifest.id)
    line = replace(history.entries(controller.paths)[-1], txn="again", manifest=digest)
    history.append(controller.paths, line)
    assert controller.ask(messages.AskStatus()).drift == ()
    path = Path(controller.paths.release(manifest.id).manifest)
    path.write_text(path.read_text().replace('"keep_releases": ', '"keep_releases": 1'))
    (drift,) = controller.ask(messages.AskStatus()).drift
    assert (drift.code, drift.path) == ("manifest-changed", str(path))
    assert drift.what == f"{path} was changed since it was committed"


@needs_root
def test_a_drop_in_of_the_apps_units_is_drift_and_the_hosts_policy_is_not(
    deployed: Deployed,
) -> None:
    controller, _manifest, host = deployed
    own = f"/etc/systemd/system/{agent_builders.UNIT}.d/override.conf"
    of_prefix = "/run/systemd/system/demo-.service.d/10-prefix.conf"
    policy = "/etc/systemd/system/service.d/limits.conf"
    of_distribution = "/usr/lib/systemd/system/demo-.service.d/10-vendor.conf"
    host.drop_ins = (own, of_prefix, policy, of_distribution)
    why = f"changes {agent_builders.UNIT}: it is not part of the release"
    assert controller.ask(messages.AskStatus()).drift == (
        Drift("drop-in", own, f"{own} {why}"),
        Drift("drop-in", of_prefix, f"{of_prefix} {why}"),
    )


@needs_root
def test_a_changed_file_with_a_forged_record_is_drift(deployed: Deployed) -> None:
    controller, manifest, _host = deployed
    packages = site_packages(controller, manifest)
    edit(packages / "demodep.py", "ANSWER = 41\n")
    (record,) = packages.glob("demodep-*.dist-info/RECORD")
    lines = [line for line in record.read_text().splitlines() if not line.startswith("demodep.py")]
    edit(record, "\n".join([*lines, "demodep.py,,"]) + "\n")
    (drift,) = controller.ask(messages.AskStatus()).drift
    assert drift.what == f"{packages}/demodep.py was changed"


def test_a_host_without_a_release_has_an_empty_status(folder: Path) -> None:
    with talking(folder) as controller:
        controller.hello()
        status = controller.ask(messages.AskStatus())
        assert (status.release, status.units, status.drift) == ("", (), ())
        assert controller.ask(messages.AskLogs(10, follow=False)).code == "nothing-deployed"


def test_a_bug_of_ours_is_reported_with_its_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(NoSystemd):
        def show(self, names: Sequence[str]) -> dict[str, Any]:
            raise ZeroDivisionError("a bug")

    with talking(folder, Broken()) as controller:
        controller.hello()
        failure = controller.ask(messages.AskStatus())
    assert (failure.code, "ZeroDivisionError: a bug" in failure.evidence) == ("agent-bug", True)
    assert controller.status == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


# --- a host at work, and a controller that talks nonsense ---------------------------------------


def test_a_host_at_work_sends_alive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEARTBEAT", 0.01)
    done = threading.Event()

    def takes_long(_: object) -> str:
        done.wait(60)
        return ""

    monkeypatch.setattr(server.Server, "_recover", takes_long)
    with talking(folder) as controller:
        controller.send(messages.Hello("demo", controller.paths.root))
        said = [controller.answer() for _ in range(3)]
        done.set()
        while not isinstance(word := controller.answer(), messages.Facts):
            assert isinstance(word, messages.Alive)
    assert said == [messages.Alive()] * 3


@needs_root
def test_broken_requests_are_refused_and_no_bug(folder: Path) -> None:
    mutator = Mutator(seed=4)
    kinds = [kind for kind in TO_HOST if kind is not messages.AskLogs]  # it waits for journalctl
    answers = set[str]()
    for number in range(REQUESTS):
        with talking(folder) as controller:
            hello = messages.pack(messages.Hello("demo", controller.paths.root))
            request = mutator.frame(kinds[number % len(kinds)])
            controller.out.write(hello + request)
            with suppress(BrokenPipeError):
                controller.out.close()
            while word := controller.answer():
                code = word.code if isinstance(word, messages.Failure) else ""
                assert code != "agent-bug", f"{request!r}\n{word.evidence}"
                answers.add(code)
    assert "bad-request" in answers


def test_blobs_are_fetched_from_a_url_and_the_next_hello_has_them(folder: Path) -> None:
    content = bytes(range(256)) * 100
    sha256 = hashlib.sha256(content).hexdigest()
    agent = folder / "agent.pyz"
    agent.write_bytes(agent_zip.build().content)
    with serving({"/x": b"head" + content}) as file_server, talking(folder) as controller:
        controller.server.agent_zip = str(agent)
        assert controller.hello([sha256]).present == ()
        piece = Piece(sha256, "x.whl", 4, len(content))
        controller.send(Pull(file_server.url("/x?s3cret"), (piece,)))
        answers = list(iter(controller.answer, messages.End()))
        assert answers[-1] == Pulled(len(content), len(content))
        assert controller.hello([sha256]).present == (sha256,)
        file_server.files.clear()
        controller.send(Pull(file_server.url("/x?s3cret"), (piece,)))
        failure = next(
            word for word in iter(controller.answer, None) if not isinstance(word, Pulled)
        )
        assert (failure.code, "s3cret" in repr(failure)) == ("pull-refused", False)
