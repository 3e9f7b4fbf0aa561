from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.conduct import Asked, Session, conduct
from shipit.events import Noted
from shipit.usecases import UseCases

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.secret import Secret

PASSWORD = "open sesame"


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    for name in ("inventory.yaml", "prod.yaml"):
        (tmp_path / name).touch()
    return Asked(playbook=tmp_path / "prod.yaml", ask_become_pass=True)


def test_the_password_for_sudo_is_asked_for_and_never_shown(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Secret | None] = []

    def act(session: Session) -> int:
        given.append(session.run().become_password)
        session.face(Noted(f"sudo was told {PASSWORD}"))
        raise RuntimeError(PASSWORD)

    assert conduct(act, asked, UseCases(), lambda _: PASSWORD) == 1
    (secret,) = given
    assert secret is not None
    assert secret.reveal() == PASSWORD
    told = capsys.readouterr()
    assert PASSWORD not in told.out + told.err
    assert "sudo was told ***" in told.out


def test_nobody_is_asked_for_a_password_that_is_not_wanted(asked: Asked) -> None:
    def act(session: Session) -> int:
        assert session.run().become_password is None
        return 0

    def ask(_prompt: str) -> str:
        raise AssertionError

    assert conduct(act, Asked(playbook=asked.playbook), UseCases(), ask) == 0


def test_an_interrupted_question_for_the_password_is_an_interruption(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(_prompt: str) -> str:
        raise KeyboardInterrupt

    assert conduct(lambda session: session.run().forks, asked, UseCases(), ask) == 130
    assert capsys.readouterr().err == "interrupted; nothing was changed\n"
