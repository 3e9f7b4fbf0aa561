"""The settings in a unit's text, as systemd reads them."""

from __future__ import annotations

import pytest

from shipit.agent.protocol.rules.unit_text import command, last, listen, settings


def test_only_the_named_section_counts() -> None:
    text = "[Unit]\nUser=unit\n[Service]\nUser=app\n[Install]\nUser=install\n"
    assert settings(text, "Service") == {"User": ["app"]}


def test_an_empty_assignment_takes_back_what_was_set_before() -> None:
    text = "[Timer]\nOnCalendar=daily\nOnCalendar=\nOnCalendar = hourly\nOnCalendar=weekly\n"
    assert settings(text, "Timer") == {"OnCalendar": ["hourly", "weekly"]}


def test_comments_are_left_out_and_a_backslash_joins_two_lines() -> None:
    text = "[Socket]\n# ListenStream=1\n;ListenStream=2\nListenStream= \\\n  3\n"
    assert settings(text, "Socket") == {"ListenStream": ["3"]}


def test_the_last_value_of_a_setting_counts_and_an_unset_one_is_empty() -> None:
    found = settings("[Socket]\nSocketUser=a\nSocketUser=b\nSocketGroup=\n", "Socket")
    assert (last(found, "SocketUser"), last(found, "SocketGroup")) == ("b", "")
    assert last(found, "SocketMode") == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ExecStart=/x/bin/serve --name 'two words'", ("/x/bin/serve", "--name", "two words")),
        ("ExecStart=-+/x/bin/serve", ("/x/bin/serve",)),
        ("ExecStart=/bin/first\nExecStart=/bin/second", ("/bin/first",)),
        ("ExecStart=/bin/first\nExecStart=\nExecStart=/bin/second", ("/bin/second",)),
        ("ExecStart=/x/bin/serve 'open", ("/x/bin/serve", "'open")),
        ("ExecStartPre=/bin/true", ()),
    ],
)
def test_a_service_has_the_words_of_its_first_command(line: str, words: tuple[str, ...]) -> None:
    assert command(f"[Unit]\nExecStart=no\n[Service]\n{line}\n") == words


def test_a_socket_listens_at_all_of_its_addresses() -> None:
    text = "[Socket]\nListenStream=8000\nListenDatagram=1\nListenStream=/run/a.sock\n"
    assert listen(text) == ("8000", "/run/a.sock")
