"""Migrations on real hosts: once in a deploy, on record, and never again without being asked.

The schema is a file of the elected host that the migration appends its release to.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from hosts.site import HOSTS, at_rest
from hosts.test_hooks import note, running_hooks
from hosts.workspace import PORT, Done, Workspace, ended, heard, stopped
from patience import until

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

SCHEMA = "/var/lib/tinyapp/schema"
UP = "echo $SHIPIT_VERSION >> $STATE_DIRECTORY/schema; echo migrated"
PATIENCE = 60.0  # seconds
IMPATIENT = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "deadline": "4s"}


def migrate(script: str = UP, **rest: object) -> dict[str, Any]:
    return {"command": f"/bin/sh -c {shlex.quote(script)}", "timeout": "2m", **rest}


@pytest.fixture(scope="module")
def running(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.set(tmp_path_factory.mktemp("migrations"), lab)
    workspace.begin(*HOSTS)
    return workspace


@pytest.fixture
def site(running: Workspace) -> Workspace:
    """Give hosts without a record of a migration."""
    for host in HOSTS:
        running.sh(host, f"rm -f {SCHEMA} /opt/tinyapp/migrations.jsonl")
    return running


def schema(workspace: Workspace, host: str = "web1") -> list[str]:
    return workspace.sh(host, f"cat {SCHEMA} 2>/dev/null || true").split()


def states(workspace: Workspace, host: str = "web1") -> list[str]:
    lines = workspace.sh(host, "cat /opt/tinyapp/migrations.jsonl 2>/dev/null || true")
    return [json.loads(line)["state"] for line in lines.splitlines()]


def problems(done: Done) -> set[tuple[str, str]]:
    found = (line["problem"] for line in done.reported("host-failed"))
    return {(problem["host"], problem["code"]) for problem in found}


def migrating(event: dict[str, Any]) -> bool:
    return (event["event"], event.get("step")) == ("step-began", "migrate")


def test_a_migration_runs_once_before_the_first_switch(site: Workspace) -> None:
    site.wheel("2.0.0")
    wanted = migrate(f"curl -s http://127.0.0.1:{PORT}/healthz || true; {UP}", pending="echo two")
    site.playbook("2.0.0", migrate=wanted)
    plan = site.asked("plan")
    assert "once, on web1 as tinyapp, before the first switch" in plan["web2"]["migration"][0]
    assert plan["web1"]["migration"][1].startswith("pending: unknown until the release is on")
    done = site.shipit("deploy", "--json")
    assert done.status == 0, done.output
    assert schema(site) == ["2.0.0"]
    assert schema(site, "web2") == []
    assert (states(site), states(site, "web2")) == (["begun", "applied"], ["applied"])
    said = [(line["host"], line["text"]) for line in done.reported("hook-output")]
    assert said[0] == ("web1", "two")
    assert said[-1] == ("web1", "migrated")
    events = [(line["event"], line.get("host"), line.get("step")) for line in done.lines]
    first = events.index(("step-began", "web1", "activate"))
    assert events.index(("step-ended", "web1", "migrate")) < first
    assert first < events.index(("step-began", "web2", "arm"))
    last = site.asked("releases")["web1"]["attempts"][-1]
    assert [(line["when"], line["outcome"]) for line in last["hooks"]] == [("migrate", "ok")]


def test_a_saved_plan_has_what_is_migrated_and_run(site: Workspace) -> None:
    site.wheel("2.0.1")
    site.playbook("2.0.1", migrate=migrate(), hooks=[note("after_commit")])
    assert site.shipit("plan", "--out", "prod.plan").status == 0
    site.playbook("2.0.1", migrate=migrate(reversible=False), hooks=[note("after_commit")])
    assert site.shipit("deploy", "--plan", "prod.plan").status == 3
    site.playbook("2.0.1", migrate=migrate(), hooks=[note("after_commit")])
    done = site.shipit("deploy", "--plan", "prod.plan")
    assert done.status == 0, done.output
    assert schema(site) == ["2.0.1"]


def test_one_that_fails_leaves_all_as_it_was_and_runs_in_the_next_deploy(site: Workspace) -> None:
    before = site.versions()
    site.wheel("2.1.0")
    site.playbook("2.1.0", migrate=migrate("echo no such table; exit 4"))
    done = site.shipit("deploy", "--json")
    assert done.status == 3, done.output
    assert ("web1", "hook-failed") in problems(done)
    assert "no such table" in done.output
    assert site.versions() == before
    assert states(site) == ["begun", "failed"]
    site.playbook("2.1.0", migrate=migrate())
    assert site.shipit("deploy").status == 0
    assert schema(site) == ["2.1.0"]


@pytest.mark.parametrize("reversible", [True, False])
def test_a_rollback_of_the_services_says_that_it_stays_applied(
    site: Workspace, *, reversible: bool
) -> None:
    before, version = site.versions(), f"2.2.{int(reversible)}"
    site.wheel(version, fault="healthz")
    site.playbook(version, migrate=migrate(reversible=reversible), health=IMPATIENT)
    done = site.shipit("deploy")
    assert done.status == 4, done.output
    assert site.versions() == before
    assert "STAYS APPLIED" in done.output
    assert ("IRREVERSIBLE" in done.output) is not reversible
    assert schema(site) == [version]
    retry = ("--override-hold", "-m", "to see whether it migrates again")
    again = site.shipit("deploy", "--json", *retry)
    assert again.status == 4, again.output
    assert schema(site) == [version], "it ran a second time"
    site.shipit("deploy", "--migrate-again", *retry)
    assert schema(site) == [version, version]


def test_a_killed_agent_leaves_it_unfinished_and_the_next_deploy_stops(site: Workspace) -> None:
    before = site.versions()
    site.wheel("2.3.0")
    site.playbook("2.3.0", migrate=migrate(f"{UP}; sleep 200"))
    process = site.start("deploy", "--json")
    lines = heard(process, migrating)
    until(lambda: schema(site), lambda: site.sh("web1", "journalctl -n 50"), PATIENCE)
    site.sh("web1", "kill -KILL $(systemctl show -p MainPID --value shipit-tinyapp.service)")
    done = ended(process, lines)
    assert done.status == 3, done.output
    assert "what it has done is unknown" in done.output
    at_rest(site.lab)
    assert running_hooks(site, "web1") == ""
    assert states(site) == ["begun"]
    site.playbook("2.3.0", migrate=migrate())
    plan = site.asked("plan")["web2"]
    assert plan["problems"][0]["code"] == "migration-unfinished"
    stopped_ = site.shipit("deploy", "--json")
    assert stopped_.status == 3, stopped_.output
    assert problems(stopped_) == {(host, "migration-unfinished") for host in HOSTS}
    assert "--migrate-again" in stopped_.output
    assert (site.versions(), schema(site)) == (before, ["2.3.0"])
    again = site.shipit("deploy", "--migrate-again", "--json")
    assert again.status == 0, again.output
    assert schema(site) == ["2.3.0", "2.3.0"]
    assert states(site) == ["begun", "begun", "applied"]


def test_a_killed_controller_lets_it_end_and_it_is_not_run_again(site: Workspace) -> None:
    before = site.versions()
    site.wheel("2.4.0")
    site.playbook("2.4.0", migrate=migrate(f"{UP}; sleep 12"), confirm_timeout="3s")
    process = site.start("deploy", "--json")
    heard(process, migrating)
    until(lambda: schema(site), lambda: site.sh("web1", "journalctl -n 50"), PATIENCE)
    stopped(process)
    until(lambda: states(site) == ["begun", "applied"], lambda: "it did not end", PATIENCE)
    at_rest(site.lab)
    assert site.versions() == before
    last = site.asked("releases")["web1"]["attempts"][-1]
    assert last["outcome"] == "discarded"
    again = site.shipit("deploy", "--json")
    assert again.status == 0, again.output
    assert schema(site) == ["2.4.0"]


def test_a_power_cut_leaves_it_unfinished(site: Workspace) -> None:
    site.wheel("2.5.0")
    site.playbook("2.5.0", migrate=migrate(f"{UP}; sync; sleep 200"))
    process = site.start("deploy", "--json")
    heard(process, migrating)
    until(lambda: schema(site), lambda: "it did not begin", PATIENCE)
    site.lab.power_cut("web1")
    site.lab.boot("web1", timeout=180)
    stopped(process)
    at_rest(site.lab)
    refused = site.shipit("deploy", "--json")
    assert refused.status == 3, refused.output
    assert ("web1", "migration-unfinished") in problems(refused)
    assert states(site) == ["begun"]


def test_a_deployment_in_parts_migrates_once(site: Workspace) -> None:
    assert site.deploy("2.9.0", "--limit", "web1", migrate=migrate()).status == 0
    (plan,) = site.asked("plan", "--limit", "web2").values()
    assert "web1 has applied the migration" in plan["migration"][0]
    assert site.shipit("deploy", "--limit", "web2").status == 0
    assert (schema(site), schema(site, "web2")) == (["2.9.0"], [])
    assert states(site, "web2") == ["applied"]


def test_a_rollback_past_an_irreversible_one_is_refused_unless_forced(site: Workspace) -> None:
    assert site.deploy("3.0.0", migrate=migrate()).status == 0
    done = site.deploy("3.1.0", migrate=migrate(reversible=False, pending="echo contract"))
    assert done.status == 0, done.output
    refused = site.shipit("rollback", "--json")
    assert refused.status == 3, refused.output
    assert problems(refused) == {(host, "migration-irreversible") for host in HOSTS}
    assert "3.1.0-" in refused.output
    assert "--force-past-migration" in refused.output
    assert set(site.versions().values()) == {"3.1.0"}
    site.playbook("3.0.0", migrate=migrate())
    older = site.shipit("deploy", "--allow-older", "--json")
    assert problems(older) == {(host, "migration-irreversible") for host in HOSTS}
    site.playbook("3.1.0", migrate=migrate(reversible=False, pending="echo contract"))
    only = site.shipit("rollback", "--limit", "web2", "--json")  # which has not run it
    assert problems(only) == {("web2", "migration-irreversible")}
    forced = site.shipit("rollback", "--force-past-migration", "--json")
    assert forced.status == 0, forced.output
    assert set(site.versions().values()) == {"3.0.0"}
    last = site.asked("releases")["web2"]["attempts"][-1]
    assert (last["what"], last["overrides"]) == ("rollback", ["migration"])
    assert "overrode: migration" in site.shipit("releases").out
    # The release is on the hosts, so its `pending` can be asked.
    plan = site.asked("plan")["web1"]
    assert "has applied the migration of this release before" in plan["migration"][0]
    assert "pending: contract" in plan["migration"]
    # A rollback that goes past a reversible one is none of this.
    assert site.deploy("3.2.0", migrate=migrate()).status == 0
    assert site.shipit("rollback").status == 0
