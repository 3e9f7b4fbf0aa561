"""What a plan says, from what is wanted and what a host says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent.protocol import answers, messages
from shipit.agent.protocol import manifest as manifests
from shipit.agent.protocol.assets import Assets
from shipit.agent.protocol.balancers import Haproxy, LoadBalancer
from shipit.agent.protocol.hooks import BEFORE_COMMIT, Hook
from shipit.agent.protocol.manifest import Watch
from shipit.errors import HostError
from shipit.release.build import BuiltRelease
from shipit.release.manifest import keyed
from shipit.release.plan import (
    Action,
    EnvChange,
    PackageChange,
    TextChange,
    compare,
    refuse_if_it_does_not_fit,
    refuse_if_older,
)

NONCE = "00ff"
WEB = "demo-web.service"
SOCKET = "demo-web.socket"


def artifact(name: str, version: str) -> manifests.Artifact:
    return manifests.Artifact(name, version, f"{name}-{version}.whl", f"{name}{version}", 100)


def manifest(
    version: str = "1.1.0", wheels: tuple[manifests.Artifact, ...] = ()
) -> manifests.Manifest:
    return manifests.Manifest(
        id=f"{version}-aaaaaaaa",
        app="demo",
        version=version,
        root="/opt/demo",
        user="demo",
        interpreter="/usr/bin/python3",
        installer="uv",
        installer_wheel=artifact("uv", "0.5"),
        app_wheel=artifact("demo", version),
        wheels=wheels or (artifact("click", "8.1"),),
        requirements="",
        bundle="b",
        units=(
            manifests.Unit(SOCKET, "web", start=True, watched=False, stop_timeout=5),
            manifests.Unit(WEB, "web", start=True, watched=True, stop_timeout=5),
        ),
        texts=(manifests.Rendered("files/app.ini", 0o640, f"ini {version}"),),
        env=(),
        gate=manifests.Gate((), 0.1, 1.0, 0.1),
        smoke=(),
        keep_releases=5,
        created="",
        created_by="",
    )


def wanted(made: manifests.Manifest, env: dict[str, str] | None = None) -> BuiltRelease:
    texts = {f"units/{WEB}": f"[Service]\nExecStart={made.id}\n", f"units/{SOCKET}": "[Socket]\n"}
    return BuiltRelease(
        made, texts, {}, {"web": {k: keyed(NONCE, v) for k, v in (env or {}).items()}}
    )


def facts(current: manifests.Manifest | None = None) -> messages.Facts:
    return messages.Facts(
        protocol=1,
        hostname="web1",
        machine="x86_64",
        libc=("glibc", 2, 36),
        systemd=252,
        agent_python="3.11.2",
        interpreters=(),
        fullest="/opt/demo",
        free_bytes=1,
        free_inodes=1,
        present=(),
        current=current,
        healthy=current is not None,
        units={name.removeprefix("units/"): text for name, text in wanted(current).texts.items()}
        if current
        else {},
        env={"web": {}},
        releases=(),
        behind=(),
        holder=None,
        recovered="",
        stuck="",
    )


def command(word: str) -> Hook:
    return Hook(word, BEFORE_COMMIT, ("x", word), 9.0, "demo", "/")


def line(release: str, *, running: bool = False, **changes: object) -> answers.ReleaseLine:
    made = answers.ReleaseLine(
        id=release,
        version=release.split("-", maxsplit=1)[0],
        outcome="committed",
        at="",
        who="",
        present=True,
        running=running,
    )
    return replace(made, **changes)  # type: ignore[arg-type] # the tests' own fields


def test_a_plan_says_where_static_files_come_from_and_when_they_end() -> None:
    old, new = manifest("1.0.0"), manifest("1.1.0")
    package = Assets(3, "demo/static", is_in_package=True)
    collect = Hook("assets", "staged", ("collect", "a b"), 60.0, "demo", "/")
    where = "in /opt/demo/assets"
    kept = (
        f"from site-packages/demo/static of the release, {where}, with those of up to 2 before it"
    )
    alone = f"collect 'a b' (on each host as demo), {where}, alone"
    for assets, said in ((package, kept), (Assets(1, command=collect), alone)):
        plan = compare("web1", wanted(replace(new, assets=assets)), facts(old))
        assert plan.assets == (said,)
    plan = compare("web1", wanted(new), facts(replace(old, assets=package)))
    assert plan.assets == ("/opt/demo/assets is removed: the release has no static files",)
    assert compare("web1", wanted(new), facts(old)).assets == ()


def test_a_release_that_runs_already_needs_nothing() -> None:
    made = manifest()
    plan = compare("web1", wanted(made), facts(made))
    assert plan.action is Action.NOTHING
    changes = (plan.packages, plan.texts, plan.env, plan.restarts, plan.missing)
    assert not any(changes)


def test_a_running_release_whose_unit_was_edited_by_hand_is_repaired() -> None:
    made = manifest()
    plan = compare("web1", wanted(made), replace(facts(made), units={WEB: "edited", SOCKET: "x"}))
    assert plan.action is not Action.NOTHING
    assert {change.path for change in plan.texts} == {f"units/{WEB}", f"units/{SOCKET}"}


def test_a_release_whose_units_are_down_is_started_again() -> None:
    made = manifest()
    plan = compare("web1", wanted(made), replace(facts(made), healthy=False))
    assert plan.action is not Action.NOTHING
    (note,) = plan.notes
    assert note == (
        "this release is installed, but it is damaged or not all of its units run: it is"
        " repaired, and they are started again"
    )


def test_a_release_on_a_host_that_is_stuck_is_switched_to_again() -> None:
    made = manifest()
    plan = compare("web1", wanted(made), replace(facts(made), stuck="fix it"))
    assert plan.action is not Action.NOTHING


def test_a_first_release_adds_everything() -> None:
    plan = compare("web1", wanted(manifest()), facts())
    assert plan.action is Action.DEPLOY
    assert plan.packages == (PackageChange("click", "", "8.1"), PackageChange("demo", "", "1.1.0"))
    assert {change.kind for change in plan.texts} == {"added"}
    assert plan.restarts == (SOCKET, WEB)
    assert plan.notes == ("first release on this host: a failure leaves it clean",)
    assert (plan.host, plan.release, plan.version) == ("web1", "1.1.0-aaaaaaaa", "1.1.0")
    assert (plan.current, plan.current_version) == ("", "")
    assert {change.path: change.diff for change in plan.texts}[f"units/{WEB}"].splitlines() == [
        "--- /dev/null",
        f"+++ {WEB}",
        "@@ -0,0 +1,2 @@",
        "+[Service]",
        "+ExecStart=1.1.0-aaaaaaaa",
    ]


def test_what_serve_became_is_shown_if_anything_changes() -> None:
    made = manifest()
    texts = {f"units/{unit.name}": "" for unit in made.units}
    wanted = BuiltRelease(made, texts, served=("web: gunicorn demo",))
    assert compare("web1", wanted, facts(None)).served == ("web: gunicorn demo",)


def test_packages_are_shown_from_version_to_version() -> None:
    old = manifest("1.0.0", (artifact("click", "8.0"), artifact("gone", "1")))
    plan = compare("web1", wanted(manifest()), facts(old))
    assert plan.packages == (
        PackageChange("click", "8.0", "8.1"),
        PackageChange("demo", "1.0.0", "1.1.0"),
        PackageChange("gone", "1", ""),
    )


def test_a_unit_is_shown_as_a_diff_and_an_unchanged_socket_is_not_restarted() -> None:
    plan = compare("web1", wanted(manifest()), facts(manifest("1.0.0")))
    assert plan.restarts == (WEB,)
    unit = next(change for change in plan.texts if change.path == f"units/{WEB}")
    assert unit.diff.splitlines() == [
        f"--- {WEB}",
        f"+++ {WEB}",
        "@@ -1,2 +1,2 @@",
        " [Service]",
        "-ExecStart=1.0.0-aaaaaaaa",
        "+ExecStart=1.1.0-aaaaaaaa",
    ]


def test_a_unit_that_is_removed_is_shown_as_a_diff() -> None:
    old, new = manifest("1.0.0"), wanted(manifest())
    alone = replace(
        new,
        manifest=replace(new.manifest, units=new.manifest.units[:1]),
        texts={f"units/{SOCKET}": "[Socket]\n"},
    )
    plan = compare("web1", alone, facts(old))
    gone = next(change for change in plan.texts if change.path == f"units/{WEB}")
    assert gone.kind == "removed"
    assert gone.diff.splitlines() == [
        f"--- {WEB}",
        "+++ /dev/null",
        "@@ -1,2 +0,0 @@",
        "-[Service]",
        "-ExecStart=1.0.0-aaaaaaaa",
    ]


def test_a_changed_file_is_reported() -> None:
    plan = compare("web1", wanted(manifest()), facts(manifest("1.0.0")))
    assert TextChange("files/app.ini", "changed") in plan.texts


def test_env_keys_are_shown_and_values_never() -> None:
    before = replace(
        facts(manifest("1.0.0")),
        env={
            "web": {"PORT": keyed(NONCE, "80"), "OLD": keyed(NONCE, "1"), "SAME": keyed(NONCE, "x")}
        },
    )
    after = wanted(manifest(), {"PORT": "hunter2", "NEW": "hunter3", "SAME": "x"})
    plan = compare("web1", after, before)
    assert plan.env == (
        EnvChange("web", "NEW", "added"),
        EnvChange("web", "OLD", "removed"),
        EnvChange("web", "PORT", "changed"),
    )
    assert "hunter" not in repr(plan)


def test_only_missing_wheels_are_sent() -> None:
    here = replace(facts(manifest("1.0.0")), present=("click8.1", "uv0.5"))
    plan = compare("web1", wanted(manifest()), here)
    assert plan.missing == ("demo-1.1.0.whl",)
    assert plan.missing_bytes == 100


def test_what_would_fill_the_disk_on_its_way_in_is_not_sent() -> None:
    here = replace(facts(), free_bytes=64 * 2**20 + 299)
    plan = compare("web1", wanted(manifest()), here)
    with pytest.raises(HostError) as caught:
        refuse_if_it_does_not_fit(plan, here)
    error = caught.value
    assert (error.code, error.host, error.step) == ("disk-too-small", "web1", "hello")
    assert error.what == "/opt/demo has 64 MiB free; more than 64 MiB are needed"
    assert error.hint == "make room on the host, or keep fewer releases (keep_releases)"
    refuse_if_it_does_not_fit(plan, replace(here, free_bytes=64 * 2**20 + 300))


def test_a_full_disk_does_not_keep_a_host_from_having_nothing_to_do() -> None:
    made = manifest()
    full = replace(facts(made), free_bytes=0)
    refuse_if_it_does_not_fit(compare("web1", wanted(made), full), full)


def test_a_verified_release_that_is_still_there_is_switched_to() -> None:
    there = replace(facts(manifest("1.0.0")), releases=(line("1.1.0-aaaaaaaa"),))
    assert compare("web1", wanted(manifest()), there).action is Action.SWITCH
    for gone in ({"present": False}, {"outcome": "rolled_back"}):
        other = replace(there, releases=(line("1.1.0-aaaaaaaa", **gone),))
        assert compare("web1", wanted(manifest()), other).action is Action.DEPLOY


def test_the_env_of_a_new_service_is_added() -> None:
    plan = compare("web1", wanted(manifest(), {"PORT": "80"}), replace(facts(), env={}))
    assert [(change.service, change.key, change.kind) for change in plan.env] == [
        ("web", "PORT", "added")
    ]


@pytest.mark.parametrize(
    ("version", "runs", "refused"),
    [
        ("1.9.0", "1.10.0", True),
        ("1.0rc1", "1.0", True),
        ("1.10.0", "1.9.0", False),
        ("1.0", "1.0.0", False),
        ("1.0+a", "1.0+b", False),
        ("1.0+b", "1.1+a", True),
        ("1.0", "not a version", False),
    ],
)
def test_an_older_version_does_not_replace_a_newer_one(
    version: str,
    runs: str,
    refused: bool,  # noqa: FBT001 - pytest fills it in
) -> None:
    plan = compare("web1", wanted(manifest(version)), facts(manifest(runs)))
    if not refused:
        refuse_if_older(plan)
        return
    with pytest.raises(HostError) as caught:
        refuse_if_older(plan)
    error = caught.value
    assert (error.code, error.host, error.step) == ("older-release", "web1", "hello")
    assert error.what == f"{version} is older than {runs}, which runs here"
    assert error.hint == (
        f"shipit rollback --to {version} if it was deployed before; --allow-older deploys it anyway"
    )


def test_a_first_release_is_older_than_nothing() -> None:
    refuse_if_older(compare("web1", wanted(manifest("0.1")), facts()))


# --- hand-over ----------------------------------------------------------------------------------


def overlapping(version: str) -> BuiltRelease:
    """Return a release whose web has a unit of its own."""
    made = manifest(version)
    name = f"demo-web@{made.id}.service"
    web = replace(made.units[1], name=name, handover=manifests.OVERLAP)
    socket = f"[Socket]\nListenStream=8000\nService={name}\n"
    texts = {f"units/{name}": f"[Service]\nExecStart={made.id}\n", f"units/{SOCKET}": socket}
    return BuiltRelease(replace(made, units=(made.units[0], web)), texts)


def test_a_service_that_overlaps_has_one_name_in_all_releases_and_its_socket_stays() -> None:
    old, new = overlapping("1.0.0"), overlapping("1.1.0")
    units = {path.removeprefix("units/"): text for path, text in old.texts.items()}
    plan = compare("web1", new, replace(facts(old.manifest), units=units))
    assert plan.handovers == ("demo-web@*.service",)
    assert plan.restarts == ()
    kinds = {change.path: change.kind for change in plan.texts}
    assert kinds["units/demo-web@*.service"] == "changed"
    assert "removed" not in kinds.values()


def test_what_a_service_loses_is_said_once_however_many_processes_it_has() -> None:
    made = manifest()
    command = ("/x/bin/uvicorn", "demo:app", "--port", "80")
    webs = tuple(
        replace(made.units[1], name=f"demo-web@{n}.service", command=command) for n in (1, 2)
    )
    texts = {f"units/{web.name}": "[Service]\n" for web in webs}
    notes = compare("web1", BuiltRelease(replace(made, units=webs), texts), facts(made)).notes
    assert [note.startswith("web: uvicorn listens itself") for note in notes] == [True]


def test_a_port_of_a_check_without_a_socket_is_reported_with_what_may_listen_there() -> None:
    made = manifest()
    asked = manifests.Gate((manifests.Check.of("http", "http://127.0.0.1:8000/"),), 0.1, 1.0, 0.1)
    alone = replace(made, units=made.units[1:], gate=asked)
    texts = {f"units/{WEB}": "[Service]\nExecStart=/x/bin/demo-server\n"}
    (note,) = compare("web1", BuiltRelease(alone, texts), facts(alone)).notes
    assert note.startswith("port 8000")
    assert "if web listens there, connections are refused" in note
    worker = replace(made.units[1], name="demo-worker.service", service="worker")
    several = replace(alone, units=(*alone.units, worker))
    texts |= {"units/demo-worker.service": ""}
    (note,) = compare("web1", BuiltRelease(several, texts), facts(several)).notes
    assert note == (
        "port 8000 of a health check has no `socket`: if web or worker listens there,"
        " connections are refused while it restarts"
    )
    celery = replace(worker, command=("/x/bin/celery", "-A", "demo", "worker"))
    of_tasks = replace(alone, units=(*alone.units, celery))
    (note,) = compare("web1", BuiltRelease(of_tasks, texts), facts(of_tasks)).notes
    assert "if web listens there" in note
    held = replace(alone, units=(replace(made.units[0], listen=("8000",)), made.units[1]))
    texts |= {f"units/{SOCKET}": "[Socket]\nListenStream=8000\n"}
    assert compare("web1", BuiltRelease(held, texts), facts(held)).notes == ()


def test_an_option_that_prevents_a_handover_is_reported_by_service() -> None:
    made = manifest()
    gunicorn = replace(made.app_wheel, name="gunicorn", version="20.1.0")
    texts = {f"units/{unit.name}": "" for unit in made.units}
    units = (
        replace(made.units[0], listen=("80",)),
        replace(made.units[1], command=("/x/bin/gunicorn", "demo:app", "--bind", ":80")),
    )
    wanted = BuiltRelease(replace(made, wheels=(gunicorn,), units=units), texts)
    notes = compare("web1", wanted, facts(made)).notes
    drops = "may drop accepted connections when it stops: lock gunicorn 27 or later"
    assert [note.partition(",")[0] for note in notes] == [
        f"web: gunicorn 20.1.0 {drops}",
        "web: --bind makes gunicorn listen itself",
    ]


@pytest.mark.parametrize("handover", [manifests.OVERLAP, manifests.RESTART])
def test_only_two_releases_at_the_same_time_can_not_share_a_port_or_a_file(handover: str) -> None:
    made = manifest()
    command = ("/x/bin/gunicorn", "demo:app", "--pid", "/run/demo.pid")
    web = replace(made.units[1], command=command, handover=handover)
    asked = manifests.Gate((manifests.Check.of("http", "http://127.0.0.1:8000/"),), 0.1, 1.0, 0.1)
    alone = replace(made, units=(web,), gate=asked)
    notes = compare("web1", BuiltRelease(alone, {f"units/{WEB}": ""}), facts(alone)).notes
    overlaps = handover == manifests.OVERLAP
    assert any("--pid" in note for note in notes) == overlaps
    assert any("it needs `handover: restart`" in note for note in notes) == overlaps
    assert any("connections are refused while it restarts" in note for note in notes) != overlaps
    assert not any("of a health check" in note for note in notes)  # it is known what listens there


def test_another_gate_is_reported() -> None:
    made = manifest()
    check = manifests.Check.of("http", "http://10.0.0.9/", headers={"Host": "www.example.com"})
    changed = replace(made, id="1.2.3-00000009", gate=replace(made.gate, checks=(check,)))
    texts = {f"units/{unit.name}": "" for unit in made.units}
    notes = compare("web1", BuiltRelease(changed, texts), facts(made)).notes
    assert "the health checks (`health:`) change" in notes
    assert compare("web1", BuiltRelease(changed, texts), facts(changed)).notes == ()


@pytest.mark.parametrize("of_haproxy", [True, False], ids=["haproxy", "commands"])
def test_what_a_host_leaves_is_shown_and_a_first_release_leaves_nothing(
    *, of_haproxy: bool
) -> None:
    haproxy = LoadBalancer(5.0, Haproxy(("lb:1", "/run/admin.sock"), "web", "web1"))
    commands = LoadBalancer(0.0, drain=command("out"), undrain=command("back"))
    balancer = haproxy if of_haproxy else commands
    made = replace(manifest(), id="1.2.3-00000009", balancer=balancer)
    before, after = compare("web1", wanted(made), facts(manifest())).drains
    assert compare("web1", wanted(made), facts()).drains == (after,)
    if of_haproxy:
        assert "the backend web of haproxy at lb:1, /run/admin.sock, waits up to 5 s" in before
    else:
        assert (before, after) == ("before its switch: x out", "back once it is healthy: x back")
    assert compare("web1", wanted(manifest()), facts()).drains == ()


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        (None, ""),
        (
            Watch(600.0, 30.0),
            "for 10m after the commit: a failure is reported; at boots: a failure is reported",
        ),
        (
            Watch(90.0, 5.0, on_failure="rollback"),
            "for 90s after the commit: a failure is rolled back; at boots: a failure is reported",
        ),
        (Watch(0.0, 5.0, at_boot="rollback"), "at boots: a failure is rolled back"),
    ],
)
def test_a_plan_says_what_hosts_do_after_the_commit(watch: Watch | None, said: str) -> None:
    made = replace(manifest(), watch=watch)
    assert compare("web1", wanted(made), facts()).watch == said
    assert compare("web1", wanted(made), facts(made)).watch == ""  # nothing is committed


def test_another_user_is_reported() -> None:
    made = replace(manifest(), user="demoapp")
    changed = replace(made, id="1.2.3-00000009", user="other")
    texts = {f"units/{unit.name}": "" for unit in made.units}
    (note,) = compare("web1", BuiltRelease(changed, texts), facts(made)).notes
    assert note == (
        "the services' user changes from demoapp to other: their directories and"
        " shared/ change owner in the switch (docs/handover.md); a trial has empty ones"
    )
    adopted = replace(made, adopted="")
    notes = compare("web1", BuiltRelease(changed, texts), facts(adopted)).notes
    assert not any("user changes" in note for note in notes)


def test_an_env_file_that_was_changed_on_the_host_is_put_right() -> None:
    made = manifest()
    texts = {f"units/{unit.name}": "" for unit in made.units}
    units = {unit.name: "" for unit in made.units}
    wanted = BuiltRelease(made, texts, {}, {"web": {"PORT": "digest"}})
    said = replace(facts(made), units=units)
    untouched = replace(said, env={"web": {"PORT": "digest"}})
    changed = replace(said, env={"web": {"PORT": "another"}})
    assert compare("web1", wanted, untouched).action is Action.NOTHING
    assert compare("web1", wanted, changed).action is not Action.NOTHING


# --- what has drifted --------------------------------------------------------------------------


def drifted(made: manifests.Manifest, *codes: str) -> messages.Facts:
    drift = tuple(answers.Drift(code, "/x", f"/x: {code}") for code in codes)
    return replace(facts(made), releases=(line(made.id, running=True),), drift=drift)


def test_a_release_whose_text_was_changed_is_put_right_in_its_place() -> None:
    made = manifest()
    plan = compare("web1", wanted(made), drifted(made, "text-changed"))
    assert plan.action is Action.SWITCH
    assert [each.code for each in plan.repairs] == ["text-changed"]


def test_a_release_whose_venv_was_changed_is_deployed_under_its_next_name() -> None:
    made = manifest()
    anew = replace(made, id=f"{made.id}_2")
    plan = compare("web1", wanted(anew), drifted(made, "file-changed"))
    assert (plan.action, plan.current, plan.packages) == (Action.DEPLOY, made.id, ())
    assert [each.code for each in plan.repairs] == ["file-changed"]


def test_drift_of_what_is_replaced_is_no_repair() -> None:
    plan = compare("web1", wanted(manifest("1.2.0")), drifted(manifest(), "file-changed"))
    assert plan.repairs == ()


def test_a_release_whose_manifest_is_gone_is_not_called_the_first_one() -> None:
    made = manifest()
    lost = replace(drifted(made, "manifest-missing"), current=None)
    plan = compare("web1", wanted(replace(made, id=f"{made.id}_2")), lost)
    assert not [note for note in plan.notes if "first release" in note]


def test_a_python_that_comes_with_the_release_is_sent_once_and_mentioned_when_it_changes() -> None:
    python = manifests.Python("3.13.1", "p.tar.gz", "f" * 64, 1000, "bin/python3.13", 1, 1)
    made, own = replace(manifest("1.2.0"), python=python), manifest("1.1.0")
    plan = compare("web1", wanted(made), facts(own))
    assert "Python 3.13.1 comes with the release; the host's is not used" in plan.notes
    assert ("p.tar.gz" in plan.missing, plan.missing_bytes >= 1000) == (True, True)
    there = replace(facts(replace(own, python=python)), present=("f" * 64,))
    plan = compare("web1", wanted(made), there)
    assert ([note for note in plan.notes if "Python" in note], "p.tar.gz" in plan.missing) == (
        [],
        False,
    )
    plan = compare("web1", wanted(manifest("1.3.0")), facts(replace(own, python=python)))
    assert "the host's own Python is used: /usr/bin/python3" in plan.notes
