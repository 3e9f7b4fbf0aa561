from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from recorded_runs import NEW, OLD, problem
from shipit.agent.protocol.answers import AttemptLine, Drift, UnitState, WatchFailure, WatchState
from shipit.agent.protocol.balancers import Drained, LoadBalancer
from shipit.agent.protocol.messages import Attempt, History, Holder, Status
from shipit.commands.doctor import Finding
from shipit.output import reports
from shipit.output.json_lines import JsonOutput
from shipit.output.layout import Part, plain
from shipit.output.redaction import Redactor
from shipit.release import repairs
from shipit.release.plan import Action, EnvChange, HostPlan, PackageChange, TextChange

if TYPE_CHECKING:
    from shipit.events import Problem

DIFF = "--- demoapp-web.service\n+++ demoapp-web.service\n@@ -1 +1 @@\n-MemoryMax=1G\n+MemoryMax=2G"
PLAN = HostPlan(
    host="web1",
    action=Action.DEPLOY,
    release=NEW,
    version="1.4.0",
    current=OLD,
    current_version="1.3.9",
    packages=(
        PackageChange("anyio", "", "4.0"),
        PackageChange("fastapi", "0.110", "0.111"),
        PackageChange("six", "1.0", ""),
    ),
    texts=(TextChange("units/demoapp-web.service", "changed", DIFF),),
    env=(EnvChange("web", "DATABASE_URL", "added"), EnvChange("web", "PORT", "changed")),
    served=("web: uvicorn demoapp.main:app --fd 3; stop_timeout: 30s",),
    restarts=("demoapp-web.service",),
    missing=("demoapp-1.4.0-py3-none-any.whl",),
    missing_bytes=22_000,
    notes=("an open transaction was undone",),
)
SINCE = "2026-11-21T09:00:00Z"
STATUS = Status(
    release=NEW,
    version="1.4.0",
    since=SINCE,
    who="ann@laptop",
    units=(
        UnitState("demoapp-web.service", "active/running", SINCE, 77, 0),
        UnitState("demoapp-worker.service", "active/running", SINCE, 78, 3),
    ),
    drift=(),
    holder=None,
    stuck="",
)


def text(parts: list[Part]) -> str:
    return "".join(f"{line}\n" for line in plain(parts))


def as_json(data: object) -> Any:  # noqa: ANN401 - JSON
    stream = io.StringIO()
    JsonOutput(stream, verbosity=0, redactor=Redactor()).answer("plan", 0, [], data=data)
    return json.loads(stream.getvalue())["data"]


def test_a_plan_names_every_change_and_equal_plans_are_reported_once() -> None:
    hosts = (PLAN, replace(PLAN, host="web2"))
    assert text(reports.plans([("demoapp", hosts)], diff=False)) == (
        f"demoapp on web1, web2: deploy {NEW} (runs {OLD})\n"
        "  packages  + anyio 4.0\n"
        "            ~ fastapi 0.110 -> 0.111\n"
        "            - six 1.0\n"
        "  texts     ~ units/demoapp-web.service\n"
        "  env       + web: DATABASE_URL\n"
        "            ~ web: PORT\n"
        "  serves    web: uvicorn demoapp.main:app --fd 3; stop_timeout: 30s\n"
        "  restarts  demoapp-web.service\n"
        "  sends     1 wheel, 21.5 KiB\n"
        "  note: an open transaction was undone\n"
    )


def test_a_plan_shows_what_hosts_fetch_themselves() -> None:
    plan = replace(PLAN, pulled_from="https://store.example.com/x.shipit?***")
    shown = text(reports.plans([("demoapp", [plan])], diff=False))
    assert "  pulls     1 wheel, 21.5 KiB, from https://store.example.com/x.shipit?***\n" in shown
    assert "  sends " not in shown


def test_a_plan_shows_diffs_when_asked_for() -> None:
    parts = reports.plans([("demoapp", (PLAN,))], diff=True)
    assert text(parts).endswith("    @@ -1 +1 @@\n    -MemoryMax=1G\n    +MemoryMax=2G\n")
    styles = {line.text.strip(): line.style for line in parts if not hasattr(line, "rows")}
    assert (styles["-MemoryMax=1G"], styles["+MemoryMax=2G"]) == ("bad", "good")


def test_a_plan_says_what_it_does_on_each_kind_of_host() -> None:
    idle = HostPlan("web3", Action.NOTHING, NEW, "1.4.0", NEW, "1.4.0")
    back = HostPlan("web4", Action.SWITCH, NEW, "1.4.0", OLD, "1.3.9")
    first = HostPlan("web5", Action.DEPLOY, NEW, "1.4.0")
    lost = HostPlan("web6", Action.NOTHING, "", "", problems=(problem("web6", "log"),))
    reported = text(reports.plans([("demoapp", (idle, back, first, lost))], diff=False))
    assert f"web3: nothing to do, it runs {NEW} already\n" in reported
    assert f"web4: switch to {NEW}, which is on the host already (runs {OLD})\n" in reported
    assert f"web5: deploy {NEW} (runs no release yet)\n" in reported
    assert "web6: no plan (1 problem)\n  web6  check  failed: http://" in reported


FILE = Drift("file-changed", "/venv/x.py", "/venv/x.py was changed")
DROP_IN = Drift(
    "drop-in",
    "/etc/x.conf",
    "/etc/x.conf changes demoapp-web.service: it is not part of the release",
)


def test_the_json_of_status_has_drift_as_sentences_and_as_codes_with_what_to_run() -> None:
    drifted = replace(STATUS, drift=(FILE,))
    data = as_json(reports.answers_data([("demoapp", {"web1": drifted})]))
    host = data[0]["hosts"]["web1"]
    assert host["drift"] == [FILE.what]
    (drift,) = host["drifts"]
    assert drift == {
        "code": "file-changed",
        "path": "/venv/x.py",
        "what": FILE.what,
        "hint": repairs.fix_for(FILE),
    }


def test_a_plan_lists_its_repairs() -> None:
    drifted = HostPlan("web1", Action.DEPLOY, f"{OLD}_2", "1", current=OLD, repairs=(FILE,))
    reported = text(reports.plans([("demoapp", [drifted])], diff=False))
    assert reported.startswith(
        f"demoapp on web1: rebuild {OLD}_2 (runs {OLD}, which has drifted)\n"
    )
    assert "  repairs   /venv/x.py was changed\n" in reported
    in_place = replace(drifted, action=Action.SWITCH, release=OLD)
    reported = text(reports.plans([("demoapp", [in_place])], diff=False))
    assert reported.startswith(f"demoapp on web1: repair {OLD}, which runs and has drifted\n")


def test_status_shows_what_runs_and_what_is_wrong_below_it() -> None:
    drifted = replace(STATUS, drift=(FILE, DROP_IN))
    answers: dict[str, Status | Problem] = {"web1": drifted, "web2": problem("web2", "log")}
    assert text(reports.status([("demoapp", answers)])).startswith(
        "demoapp\n"
        "host  release         since                 by          units\n"
        f"web1  {NEW}  {SINCE}  ann@laptop  2 active/running\n"
        "web1: drift: /venv/x.py was changed\n"
        "web1: drift: /etc/x.conf changes demoapp-web.service: it is not part of the release\n"
        f"web1: next: {repairs.fix_for(FILE)}\n"
        f"web1: next: {repairs.fix_for(DROP_IN)}\n"
        f"web1: demoapp-worker.service is active/running since {SINCE}, 3 restarts\n"
        "web2  check  failed: http://"
    )


def test_status_shows_who_holds_a_lock_and_what_a_stuck_host_needs() -> None:
    attempt = Attempt("t1", "deploy", "bob@ci", 7, SINCE)
    held = replace(STATUS, holder=Holder(attempt, 99, "CHECK", 3.0), stuck="run this", units=())
    reported = text(reports.status([("demoapp", {"web1": held})]))
    assert "web1: deploy by bob (ci, pid 7) for 3.0s, in CHECK\n" in reported
    assert "web1: stuck: run this\n" in reported


@pytest.mark.parametrize(
    ("problem", "lines"),
    [
        ("", ["next: deploy or roll back to a release that is healthy"]),
        (
            "[haproxy-denied] no",
            ["it could not be put back: [haproxy-denied] no", "next: fix that; any deploy or"],
        ),
    ],
)
def test_status_shows_a_host_that_is_out_of_its_load_balancer(
    problem: str, lines: list[str]
) -> None:
    out = Drained(SINCE, "t1", "deploy", "ann@laptop", NEW, LoadBalancer(1.0), problem)
    answer = replace(STATUS, drained=out)
    shown = text(reports.status([("demoapp", {"web1": answer})]))
    assert f"web1: out of its load balancer since {SINCE}: deploy by ann@laptop (t1)\n" in shown
    assert all(f"web1: {line}" in shown for line in lines)
    assert reports.query_status([("demoapp", {"web1": answer})]) == 5
    host = as_json(reports.answers_data([("demoapp", {"web1": answer})]))[0]["hosts"]["web1"]
    assert host["drained"]["problem"] == problem


def test_a_plan_shows_what_each_host_leaves() -> None:
    plan = replace(PLAN, drains=("before its switch: x", "back once it is healthy: y"))
    shown = text(reports.plans([("demoapp", [plan])], diff=False))
    assert "  drains    before its switch: x\n            back once it is healthy: y\n" in shown


FOUND = WatchFailure(
    "check-failed", "no answer (3 of the last 3 looks)", "read it", "its log", SINCE
)
WATCHED = WatchState(NEW, until=SINCE, found=FOUND, done="it is only reported")


def test_status_shows_how_long_a_release_is_watched() -> None:
    healthy = replace(STATUS, watch=WatchState(NEW, until=SINCE, checked=False))
    reported = text(reports.status([("demoapp", {"web1": healthy})]))
    assert f"web1: watched until {SINCE}\n" in reported
    assert "web1: not checked yet since the host has booted\n" in reported
    assert reports.query_status([("demoapp", {"web1": healthy})]) == 0
    ended = replace(STATUS, watch=WatchState(NEW, until=SINCE, ended="now"))
    assert "web1: watched until now\n" in text(reports.status([("demoapp", {"web1": ended})]))
    assert reports.query_status([("demoapp", {"web1": ended})]) == 0


def test_status_says_how_a_watch_is_started_that_does_not_run() -> None:
    dead = replace(STATUS, watch=WatchState(NEW, until=SINCE, runs=False, unit="its.service"))
    reported = text(reports.status([("demoapp", {"web1": dead})]))
    assert "web1: its watch does not run: see systemctl status its.service\n" in reported
    assert "web1: next: on the host: systemctl restart its.service, which looks" in reported
    assert reports.query_status([("demoapp", {"web1": dead})]) == 5


def test_status_says_that_a_failure_was_not_over_when_the_watch_ended() -> None:
    failing = replace(STATUS, watch=replace(WATCHED, ended="now", unit="its.service"))
    reported = text(reports.status([("demoapp", {"web1": failing})]))
    assert "web1: it was failing when its watch ended, at now\n" in reported
    assert "next: on the host: systemctl restart its.service" in reported
    assert reports.query_status([("demoapp", {"web1": failing})]) == 5


def test_status_shows_what_a_watch_has_found_and_done_until_it_is_over() -> None:
    failed = replace(STATUS, watch=WATCHED)
    reported = text(reports.status([("demoapp", {"web1": failed})]))
    assert (
        f"web1  watch  failed: since {SINCE}: no answer (3 of the last 3 looks) [check-failed]\n"
        "  | its log\n"
        "  next: read it\n"
        "web1: it is only reported\n"
    ) in reported
    assert reports.query_status([("demoapp", {"web1": failed})]) == 5
    over = replace(STATUS, watch=replace(WATCHED, found=replace(FOUND, until="now", at_boot=True)))
    reported = text(reports.status([("demoapp", {"web1": over})]))
    assert f"failed: from {SINCE} to now, after a boot: no answer" in reported
    assert reports.query_status([("demoapp", {"web1": over})]) == 0


def test_status_shows_that_a_host_has_rolled_back_by_itself() -> None:
    left = replace(STATUS, watch=WatchState(OLD, left=f"{NEW}: [check-failed] no answer"))
    reported = text(reports.status([("demoapp", {"web1": left})]))
    assert f"web1: rolled back by the host: {NEW}: [check-failed] no answer\n" in reported
    assert "watched until" not in reported
    assert reports.query_status([("demoapp", {"web1": left})]) == 5


def past(release: str, outcome: str = "committed", **changes: object) -> AttemptLine:
    made = AttemptLine(
        txn="t",
        what="deploy",
        release=release,
        version=release.split("-", maxsplit=1)[0],
        outcome=outcome,
        at=SINCE,
        who="ann@laptop",
        reason="",
        failure="",
        present=True,
        running=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type] # the tests' own fields


def test_releases_report_every_attempt_with_its_kind_its_reason_and_what_came_of_it() -> None:
    lines = (
        past(OLD, reason="the first", signed_by="al@example.com"),
        past("bad", "rolled_back", present=False, reason="new", failure="[check-failed] 500\nlog"),
        past(NEW),
        past(OLD, what="rollback", reason="fix #42", running=True),
    )
    reported = text(reports.releases([("demoapp", {"web1": History((), lines)})]))
    assert [re.split(" {2,}", line) for line in reported.splitlines()] == [
        ["demoapp"],
        ["host", "at", "what", "release", "outcome", "by", "now", "why"],
        [
            "web1",
            SINCE,
            "deploy",
            OLD,
            "committed",
            "ann@laptop",
            "kept",
            "the first; signed by al@example.com",
        ],
        [
            "web1",
            SINCE,
            "deploy",
            "bad",
            "rolled back",
            "ann@laptop",
            "removed",
            "new; [check-failed] 500",
        ],
        ["web1", SINCE, "deploy", NEW, "committed", "ann@laptop", "kept", "-"],
        ["web1", SINCE, "rollback", OLD, "committed", "ann@laptop", "running", "fix #42"],
    ]
    assert text(reports.releases([("demoapp", {"web1": History(())})])) == (
        "demoapp\nno releases yet\n"
    )


def test_findings_name_the_command_that_fixes_each() -> None:
    found = [
        Finding("", "inventory", ok=True, detail="2 hosts", mend=""),
        Finding("web1", "python", ok=False, detail="3.6.8 is too old", mend="apt install python3"),
    ]
    assert text(reports.findings(found)) == (
        "     host  what       detail\n"
        "ok   -     inventory  2 hosts\n"
        "BAD  web1  python     3.6.8 is too old\n"
        "web1: python: apt install python3\n"
        "1 finding to fix\n"
    )
    assert text(reports.findings(found[:1])).endswith("everything is ready\n")


def test_a_question_ends_with_the_worst_of_its_answers() -> None:
    drifted = replace(STATUS, drift=(FILE,))
    assert reports.query_status([("a", {"web1": STATUS, "web2": History(())})]) == 0
    assert reports.query_status([("a", {"web1": STATUS}), ("b", {"web1": problem()})]) == 3
    assert reports.query_status([("a", {"web1": problem(), "web2": drifted})]) == 5
    assert reports.query_status([("a", {"web1": replace(STATUS, stuck="run this")})]) == 5


def test_answers_become_json_by_host() -> None:
    answers = {"web1": History(()), "web2": problem()}
    data = as_json(reports.answers_data([("demoapp", answers)]))
    assert data[0]["hosts"]["web1"] == {"releases": [], "attempts": []}
    assert data[0]["hosts"]["web2"]["problem"]["code"] == "health-failed"
    plans = as_json(reports.plans_data([("demoapp", (PLAN,))]))
    assert plans[0]["hosts"]["web1"]["action"] == "deploy"
    assert plans[0]["hosts"]["web1"]["packages"][0] == {"name": "anyio", "old": "", "new": "4.0"}
