"""How mistakes are formatted."""

from __future__ import annotations

from shipit.errors import InputError, Mistake, Place, merged, nearest


def test_a_mistake_names_its_place_its_hosts_and_what_to_do() -> None:
    mistake = Mistake("unknown-key", "no key", Place("a.yaml", 3, 5), "write x", ("web1",))
    assert str(mistake) == "a.yaml:3:5: no key, on web1 [unknown-key]\n  write x"


def test_the_same_mistake_on_many_hosts_is_reported_once() -> None:
    names = [f"web{n}" for n in range(1, 301)]
    mistakes = [Mistake("undefined", "'x' is undefined", hosts=(name,)) for name in names]
    (found,) = merged([*mistakes, *mistakes])
    assert str(found) == "'x' is undefined, on web1, web2, web3 and 297 more [undefined]"


def test_different_mistakes_stay_apart_and_in_order() -> None:
    first, second = Mistake("b", "one"), Mistake("a", "two")
    assert merged([first, second, first]) == [first, second]


def test_an_error_holds_all_mistakes() -> None:
    error = InputError(Mistake("a", "one"), Mistake("b", "two"))
    assert str(error) == "one [a]\ntwo [b]"
    assert error.exit_status == 2


def test_a_place_without_a_line_is_the_file() -> None:
    assert str(Place("a.yaml")) == "a.yaml"


def test_the_nearest_known_word_is_suggested() -> None:
    assert nearest("hosst", ["hosts", "app"]) == "did you mean 'hosts'?"
    assert nearest("zzz", ["hosts", "app"]) == ""
