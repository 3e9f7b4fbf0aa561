"""The last line of a playbook with several deployments speaks of all of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from fake_fleet import Fleet, Liar
from recorded_runs import ended, redactor
from shipit.agent.protocol import messages
from shipit.commands import deploy
from shipit.errors import InputError, Mistake
from shipit.events import DeploymentEnd, Event, Outcome, PlaybookEnded
from shipit.output.console import ConsoleOutput
from shipit.transport import connect
from unit.rollout.test_lying_host import PLAYBOOK, impatient, run  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.release.inputs import RunOptions


def of(*statuses: int | None) -> tuple[DeploymentEnd, ...]:
    return tuple(DeploymentEnd(app, it) for app, it in zip("abc", statuses, strict=True))


def ends(*statuses: int) -> tuple[int, list[Event]]:
    reported: list[Event] = []
    returning: list[Callable[[], int]] = [lambda it=it: it for it in statuses]  # type: ignore[misc]
    runs = [(app, act) for app, act in zip("abc", returning, strict=True)]
    return deploy.until_one_fails("deploy", runs, reported.append), reported


@pytest.mark.parametrize(
    ("statuses", "reported"),
    [
        ((0, 0, 0), PlaybookEnded("deploy", 0, of(0, 0, 0))),
        ((0, 4, 0), PlaybookEnded("deploy", 4, of(0, 4, None))),
        ((3, 0, 0), PlaybookEnded("deploy", 3, of(3, None, None))),
        ((0, 0, 130), PlaybookEnded("deploy", 130, of(0, 0, 130))),
    ],
)
def test_the_first_that_fails_is_the_last_that_is_begun(
    statuses: tuple[int, ...], reported: PlaybookEnded
) -> None:
    assert ends(*statuses) == (reported.exit_status, [reported])


@pytest.mark.parametrize(
    ("error", "status"), [(InputError(Mistake("x", "wrong")), 2), (KeyError("surprise"), 1)]
)
def test_an_error_is_reported_with_the_deployments_before_and_after(
    error: Exception, status: int
) -> None:
    def breaks() -> int:
        raise error

    reported: list[Event] = []
    runs = [("a", lambda: 0), ("b", breaks), ("c", lambda: 0)]
    with pytest.raises(type(error)):
        deploy.until_one_fails("deploy", runs, reported.append)
    assert reported == [PlaybookEnded("deploy", status, of(0, status, None))]


def test_of_a_single_deployment_the_end_of_its_run_says_all() -> None:
    reported: list[Event] = []
    assert deploy.until_one_fails("deploy", [("a", lambda: 3)], reported.append) == 3
    assert reported == []


def shown(*events: Event, error: InputError | None = None) -> list[str]:
    stream = io.StringIO()
    console = ConsoleOutput(stream, stream, verbosity=0, redactor=redactor())
    for event in events:
        console(event)
    if error:
        console.error(error)
    console.conclude(0)
    return stream.getvalue().splitlines()


def test_the_last_line_speaks_of_all_deployments() -> None:
    run_of_one = ended(0, {"web1": Outcome.COMMITTED})
    done = shown(run_of_one, PlaybookEnded("deploy", 0, of(0, 0, 0)))
    assert done[-1] == "all 3 deployments are done: a, b, c"
    stopped = shown(run_of_one, PlaybookEnded("deploy", 4, of(0, 4, None)))
    assert stopped[-1] == "1 of 3 deployments are done: a: ok; b: rolled back; c: not begun"


def test_a_mistake_that_breaks_off_does_not_say_that_nothing_was_changed() -> None:
    error = InputError(Mistake("wheel-missing", "no wheel of click fits"))
    reported = shown(PlaybookEnded("deploy", 2, of(0, 2, None)), error=error)
    assert reported[-2:] == [
        "1 mistake; nothing more was changed",
        "1 of 3 deployments are done: a: ok; b: input-error; c: not begun",
    ]
    assert shown(error=error)[-1] == "1 mistake; nothing was changed"


def test_a_rollback_of_a_playbook_reports_all_its_deployments(
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are rolled back in reverse order; the first of the playbook is not begun."""
    second = PLAYBOOK.replace("app: demo", "app: other")
    run.playbook.write_text(
        "".join(f"- {'  '.join(text.splitlines(keepends=True))}" for text in (PLAYBOOK, second))
    )
    refuses = Liar(messages.Facts, lambda _: [messages.Failure("odd", "no", "hello")])
    monkeypatch.setattr(connect, "connect", Fleet({"web1": refuses}).connect)
    reported: list[Event] = []
    status = deploy.rollback(run, reported.append)
    assert reported[-1] == PlaybookEnded(
        "rollback", status, (DeploymentEnd("other", 3), DeploymentEnd("demo", None))
    )
