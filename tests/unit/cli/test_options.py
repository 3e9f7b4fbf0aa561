from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipit.cli import options
from shipit.errors import InputError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/prod.yaml").write_text("name: x\n")
    return tmp_path


PLAYBOOK = Path("playbooks/prod.yaml")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], {}),
        (["a=1"], {"a": "1"}),
        (["a=1 b='two words' c="], {"a": "1", "b": "two words", "c": ""}),
        (["url=http://x/?q=1"], {"url": "http://x/?q=1"}),
        (['{"a": 1, "b": [true]}'], {"a": 1, "b": [True]}),
        (["{a: 1, b: [yes]}"], {"a": 1, "b": [True]}),
        (["a=1", "{a: 2}", "b=3"], {"a": 2, "b": "3"}),
        (["@vars.yaml", "b=3"], {"a": 1, "b": "3"}),
        (["@empty.yaml"], {}),
    ],
)
def test_extra_vars_mean_what_they_mean_to_ansible(
    texts: list[str], found: dict[str, object], project: Path
) -> None:
    (project / "vars.yaml").write_text("a: 1\nb: 2\n")
    (project / "empty.yaml").write_text("")
    assert options.extra_vars(texts) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alone", "'alone' sets nothing"),
        ("=1", "'=1' sets nothing"),
        ("a='1", "a quote that is not closed"),
        ("[1, 2]", "this is a list"),
        ("{a: 1", "--extra-vars:2:1: did not find"),
        ("@missing.yaml", "missing.yaml: the file does not exist"),
        ("./vars.yaml", "@file.yaml"),
    ],
)
def test_extra_vars_that_make_no_sense_are_refused(text: str, said: str, project: Path) -> None:
    with pytest.raises(InputError) as caught:
        options.extra_vars([text])
    assert said in str(caught.value)


def test_the_inventory_beside_the_playbook_is_found_before_the_one_above(project: Path) -> None:
    (project / "inventory.yaml").touch()
    assert options.inventory(PLAYBOOK, (), {}) == (Path("inventory.yaml"),)
    (project / "playbooks/hosts").touch()
    assert options.inventory(PLAYBOOK, (), {}) == (Path("playbooks/hosts"),)
    (project / "playbooks/inventory").mkdir()
    assert options.inventory(PLAYBOOK, (), {}) == (Path("playbooks/inventory"),)


def test_a_folder_called_hosts_is_no_inventory(project: Path) -> None:
    (project / "hosts").mkdir()
    with pytest.raises(InputError, match="inventory-missing"):
        options.inventory(PLAYBOOK, (), {})


def test_the_command_line_wins_over_the_environment_and_that_over_what_is_nearby(
    project: Path,
) -> None:
    for name in ("inventory.yaml", "one", "two", "three"):
        (project / name).touch()
    environment = {"SHIPIT_INVENTORY": "one,two"}
    assert options.inventory(PLAYBOOK, (), environment) == (Path("one"), Path("two"))
    assert options.inventory(PLAYBOOK, (Path("three"),), environment) == (Path("three"),)


def test_a_missing_inventory_is_reported_with_what_to_do(project: Path) -> None:
    with pytest.raises(InputError, match="pass -i FILE, or set SHIPIT_INVENTORY"):
        options.inventory(PLAYBOOK, (), {})
    with pytest.raises(InputError, match="nowhere: the inventory does not exist"):
        options.inventory(PLAYBOOK, (Path("nowhere"),), {})
    with pytest.raises(InputError, match="SHIPIT_INVENTORY names it"):
        options.inventory(PLAYBOOK, (), {"SHIPIT_INVENTORY": "nowhere"})


def test_a_missing_playbook_is_reported_before_its_inventory(project: Path) -> None:
    with pytest.raises(InputError, match=r"other\.yaml: the playbook does not exist"):
        options.inventory(Path("other.yaml"), (), {})
    with pytest.raises(InputError, match="not a file"):
        options.inventory(Path("playbooks"), (), {})


def test_only_a_rehearsal_takes_the_example_where_there_is_no_inventory(project: Path) -> None:
    (project / "inventory.example.yaml").write_text("all:\n")
    with pytest.raises(InputError, match="inventory-missing"):
        options.inventory(PLAYBOOK, (), {})
    names = options.REHEARSAL_NAMES
    assert options.inventory(PLAYBOOK, (), {}, names) == (Path("inventory.example.yaml"),)
    (project / "inventory.yaml").write_text("all:\n")
    assert options.inventory(PLAYBOOK, (), {}, names) == (Path("inventory.yaml"),)


def test_a_limit_may_name_groups_and_hosts_and_no_program_is_run_to_find_them(
    project: Path,
) -> None:
    inventory = project / "inventory.yaml"
    inventory.write_text("web: {hosts: {web1: }}\n")
    assert {"web", "web1"} <= set(options.limits(PLAYBOOK, (), {}))
    inventory.chmod(0o755)
    assert options.limits(PLAYBOOK, (), {}) == ()
    assert options.limits(Path("nowhere.yaml"), (), {}) == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h", 7200), ("3d", 3 * 86400)],
)
def test_a_span_ends_that_long_from_now(text: str, seconds: int) -> None:
    then = datetime.fromisoformat(options.moment(text))
    assert 0 <= seconds - (then - datetime.now(UTC)).total_seconds() < 60


def test_a_time_is_of_its_own_zone_or_else_of_this_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert options.moment("2099-12-24T08:00") == "2099-12-24T07:00:00Z"
    assert options.moment("2099-12-24T08:00-05:00") == "2099-12-24T13:00:00Z"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text", ["soon", "", "5", "-2h", "0m", "2020-01-01T00:00", "9999-12-31T23:59-23:59"]
)
def test_a_time_that_is_none_or_over_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|is over"):
        options.moment(text)


def test_what_is_overridden_needs_a_reason() -> None:
    options.require_reason("", *())
    options.require_reason("it was the database", "--override-hold")
    with pytest.raises(InputError, match="--override-hold: there is no reason"):
        options.require_reason(" ", "--override-hold")
