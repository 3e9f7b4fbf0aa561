from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from recorded_runs import (
    NEW,
    OLD,
    SECRET,
    WHY,
    ended,
    failed_run,
    good_run,
    hide,
    problem,
    redactor,
)
from shipit.errors import HostError, InputError, Mistake, Place
from shipit.events import Fetching, HostFailed, Noted, Outcome, RunBegan, SecretsKnown
from shipit.lab.commands import LabError
from shipit.output.json_lines import JsonOutput
from shipit.output.redaction import Redactor


def json_output(stream: io.StringIO, verbosity: int = 0) -> JsonOutput:
    return JsonOutput(stream, verbosity=verbosity, redactor=redactor())


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_run_is_one_object_a_line_and_the_last_is_the_result() -> None:
    stream = io.StringIO()
    output = json_output(stream)
    for event in failed_run():
        output(event)
    output.conclude(4)
    reported = objects(stream)
    assert reported[0]["event"] == "run-began"
    assert reported[0]["hosts"] == ["web1", "web2"]
    assert {key: value for key, value in reported[5].items() if key != "time"} == {
        "event": "step-ended",
        "host": "web1",
        "step": "venv",
        "seconds": 0.4,
        "ok": True,
    }
    last = reported[-1]
    assert (last["event"], last["outcome"], last["exit_status"]) == ("result", "rolled_back", 4)
    assert last["hosts"]["web1"] == {
        "outcome": "rolled_back",
        "release": OLD,
        "problem": None,
        "because": WHY,
    }
    assert last["hosts"]["web2"]["problem"]["code"] == "health-failed"
    assert [one["event"] for one in reported].count("result") == 1


def test_every_line_has_the_time_in_utc() -> None:
    stream = io.StringIO()
    json_output(stream)(RunBegan("deploy", "demoapp", ("web1",)))
    offset = datetime.fromisoformat(objects(stream)[0]["time"]).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0


def test_a_download_is_for_those_who_wait_alone() -> None:
    stream = io.StringIO()
    output = json_output(stream, 2)
    output(Fetching("fetching 3 wheels", 5))
    assert stream.getvalue() == ""


def test_bytes_on_their_way_are_reported_at_their_end_or_when_asked() -> None:
    for verbosity, lines in ((0, 1), (1, 2)):
        stream = io.StringIO()
        output = json_output(stream, verbosity)
        for event in failed_run():
            output(event)
        assert [one["event"] for one in objects(stream)].count("sent") == lines


def test_an_answer_is_one_document() -> None:
    stream = io.StringIO()
    output = json_output(stream)
    output.quiet(Noted("not for machines"))
    output.answer("status", 5, [], deployments=[{"app": "demoapp", "hosts": {}}])
    output.conclude(5)
    (only,) = objects(stream)
    del only["time"]
    assert only == {
        "event": "result",
        "what": "status",
        "outcome": "needs-operator",
        "exit_status": 5,
        "deployments": [{"app": "demoapp", "hosts": {}}],
    }


def test_each_mistake_is_an_error_and_the_result_still_comes() -> None:
    stream = io.StringIO()
    output = json_output(stream)
    output.error(
        InputError(Mistake("unknown-key", "what", Place("p.yaml", 3, 1), "hint"), Mistake("b", "c"))
    )
    output.conclude(2)
    first, second, last = objects(stream)
    assert first["place"] == {"file": "p.yaml", "line": 3, "column": 1}
    assert (first["event"], first["code"], first["hint"]) == ("error", "unknown-key", "hint")
    assert second["place"] is None
    assert (last["outcome"], last["exit_status"], last["hosts"]) == ("input-error", 2, {})


def test_an_error_of_the_lab_has_its_code_and_hint() -> None:
    stream = io.StringIO()
    json_output(stream).error(LabError("lab-no-subnet", "all are taken", hint="remove a route"))
    (line,) = objects(stream)
    assert (line["code"], line["what"]) == ("lab-no-subnet", "all are taken")
    assert line["hint"] == "remove a route"


def test_logs_are_lines_with_their_host_and_failures_among_them() -> None:
    stream = io.StringIO()
    output = json_output(stream)
    output.log("web1", "one\ntwo\n")
    output.aside(HostFailed(problem()))
    output.aside(Noted("not for machines"))
    kinds = [(one["event"], one.get("text")) for one in objects(stream)]
    assert kinds == [("log", "one"), ("log", "two"), ("host-failed", None)]


def test_a_host_of_several_deployments_has_its_worst_outcome() -> None:
    stream = io.StringIO()
    output = json_output(stream)
    for event in good_run(["web1"]):
        output(event)
    output(ended(0, {"web1": Outcome.UNCHANGED}))
    output.conclude(0)
    last = objects(stream)[-1]
    assert last["hosts"]["web1"]["outcome"] == "committed"
    assert [run["hosts"] for run in last["runs"]] == [{"web1": "committed"}, {"web1": "unchanged"}]
    assert last["hosts"]["web1"]["release"] == NEW


def test_no_secret_is_shown() -> None:
    stream = io.StringIO()
    output = json_output(stream, verbosity=2)
    for event in failed_run():
        output(event)
    output.log("web1", SECRET)
    output.answer("plan", 0, [], deployments=[{SECRET: [SECRET]}])
    output.error(HostError("code", SECRET, host="web1", evidence=SECRET))
    output.bug(RuntimeError(SECRET), SECRET)
    assert SECRET not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_lines_from_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    output = json_output(stream)

    def chatter(number: int) -> None:
        for _ in range(50):
            output(Noted("x" * 200, f"web{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(chatter, range(8)))
    assert len(objects(stream)) == 8 * 50


def test_a_secret_that_becomes_known_is_hidden_and_not_an_event() -> None:
    stream = io.StringIO()
    output = JsonOutput(stream, verbosity=0, redactor=Redactor())
    output(SecretsKnown(hide))
    output.quiet(SecretsKnown(lambda text: text.replace("web1", "???")))
    output(Noted(SECRET, "web1"))
    (only,) = objects(stream)
    assert (only["text"], only["host"]) == ("***", "???")
