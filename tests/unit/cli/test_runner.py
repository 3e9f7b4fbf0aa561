from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shipit.cli.runner import Invocation, run_command
from shipit.events import Noted

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.secrets import Secret

PASSWORD = "open sesame"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    for name in ("inventory.yaml", "prod.yaml"):
        (tmp_path / name).touch()
    return {"playbook": tmp_path / "prod.yaml", "ask_become_pass": True}


def test_the_password_for_sudo_is_asked_for_and_never_shown(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Secret | None] = []

    def act(invocation: Invocation) -> int:
        given.append(invocation.run_options().become_password)
        invocation.output(Noted(f"sudo received {PASSWORD}"))
        raise RuntimeError(PASSWORD)

    assert run_command(act, options, lambda _: PASSWORD) == 1
    (secret,) = given
    assert secret is not None
    assert secret.reveal() == PASSWORD
    reported = capsys.readouterr()
    assert PASSWORD not in reported.out + reported.err
    assert "sudo received ***" in reported.out


def test_nobody_is_asked_for_a_password_that_is_not_wanted(options: dict[str, Any]) -> None:
    def act(invocation: Invocation) -> int:
        assert invocation.run_options().become_password is None
        return 0

    def ask(_prompt: str) -> str:
        raise AssertionError

    assert run_command(act, {"playbook": options["playbook"]}, ask) == 0


def test_an_interrupted_question_for_the_password_is_an_interruption(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_prompt: str) -> str:
        raise KeyboardInterrupt

    assert run_command(lambda invocation: invocation.run_options().forks, options, ask) == 130
    assert capsys.readouterr().err == "interrupted; nothing was changed\n"


def test_an_option_of_one_command_is_its_argument_and_the_others_are_those_of_the_run(
    options: dict[str, Any],
) -> None:
    def act(invocation: Invocation, *, to: str) -> int:
        run = invocation.run_options()
        assert (to, run.limit, run.forks) == ("1.0", "web1", 7)
        return 0

    given = {"playbook": options["playbook"], "limit": "web1", "forks": 7, "to": "1.0"}
    assert run_command(act, given, lambda _: PASSWORD) == 0
