"""Which directories change hands."""

from __future__ import annotations

from shipit.agent.system.ownership import Move, Owner, due

OLD, NEW, THIRD = Owner(1, 1), Owner(2, 2), Owner(3, 3)
STATE, SHARED = "/var/lib/app", "/opt/app/shared"


def test_nothing_changes_hands_while_the_user_stays() -> None:
    here = {STATE: OLD}
    assert due(here, [here, {STATE: NEW}], here, ()) == ()


def test_what_a_release_has_had_is_given_to_the_next_ones_user() -> None:
    known = [{STATE: OLD, SHARED: OLD}, {STATE: NEW, SHARED: NEW}]
    found = due(known[1], known, {STATE: OLD, SHARED: OLD}, ())
    assert found == (Move(STATE, (OLD,), NEW), Move(SHARED, (OLD,), NEW))


def test_a_directory_that_is_not_there_yet_is_left_to_systemd() -> None:
    assert due({STATE: NEW}, [{STATE: OLD}], {}, ()) == ()


def test_what_belongs_to_nobody_of_the_app_is_not_taken() -> None:
    assert due({SHARED: NEW}, [{SHARED: OLD}, {SHARED: NEW}], {SHARED: Owner(0, 0)}, ()) == ()


def test_the_user_two_changes_ago_gets_it_from_whoever_has_it_now() -> None:
    known = [{STATE: OLD}, {STATE: NEW}, {STATE: THIRD}]
    assert due({STATE: OLD}, known, {STATE: THIRD}, ()) == (Move(STATE, (THIRD,), OLD),)


def test_a_directory_whose_group_an_administrator_has_changed_is_handed_over_all_the_same() -> None:
    known = [{STATE: OLD}, {STATE: NEW}]
    assert due({STATE: NEW}, known, {STATE: Owner(1, 50)}, ()) == (Move(STATE, (OLD,), NEW),)


def test_another_group_is_another_owner() -> None:
    other = Owner(1, 7)
    assert due({STATE: other}, [{STATE: OLD}], {STATE: OLD}, ()) == (Move(STATE, (OLD,), other),)


def test_what_was_begun_is_taken_back_even_where_the_top_is_right_already() -> None:
    begun = (Move(STATE, (OLD,), NEW),)
    assert due({STATE: OLD}, [{STATE: OLD}], {STATE: OLD}, begun) == (Move(STATE, (NEW,), OLD),)


def test_what_was_begun_and_is_not_wanted_returns_to_its_former_owner() -> None:
    begun = (Move(STATE, (OLD,), NEW),)
    assert due({}, [], {}, begun) == (Move(STATE, (NEW,), OLD),)


def test_what_a_stuck_switch_has_mixed_up_is_handed_over_to_a_third_user() -> None:
    begun = (Move(STATE, (OLD,), NEW),)
    assert due({STATE: THIRD}, [], {STATE: NEW}, begun) == (Move(STATE, (OLD, NEW), THIRD),)
