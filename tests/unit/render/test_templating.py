"""Templates are strict, lazy and in a sandbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from shipit.render.templating import TemplateFaultError, Variables, own_templates
from shipit.yaml_tags import Raw

if TYPE_CHECKING:
    from pathlib import Path

VALUES: dict[str, object] = {
    "port": 8000,
    "name": "{{ prefix }}-web",
    "prefix": "eu",
    "ports": ["{{ port }}", "{{ port + 1 }}"],
    "nested": {"deep": {"port": "{{ ports[1] }}"}},
    "circle": "{{ other }}",
    "other": "{{ circle }}",
    "uses_unknown": "x {{ nowhere }}",
    "foreign": "{{ query('env', 'HOME') }}",
    "version": "1.10",
}


def fill(text: object) -> object:
    return Variables(VALUES).fill(text)


def fault(text: object) -> TemplateFaultError:
    with pytest.raises(TemplateFaultError) as caught:
        fill(text)
    return caught.value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{port}", "{port}"),
        ("{{ port }}", 8000),
        ("{{port}}", 8000),
        ("{{- port -}}", 8000),
        ("{{ -port }}", -8000),
        (":{{ port }}", ":8000"),
        ("{{ port }}{{ port }}", "80008000"),
        ("{{ port }}\n", "8000\n"),
        ("{{ name }}", "eu-web"),
        ("{{ ports }}", [8000, 8001]),
        ("{{ nested.deep.port }}", 8001),
        ("{{ version }}", "1.10"),
        ("{{ port > 80 }}", True),
        ("{{ none }}", None),
        ("{{ '}}' }}", "}}"),
        ("{{ missing | default('x') }}", "x"),
        ("{{ missing is defined }}", False),
        ("{{ ports | map('string') }}", ["8000", "8001"]),
        ("{{ nested | to_json }}", '{"deep": {"port": 8001}}'),
        ("{{ 'yes' | bool }}", True),
        ("{{ 'off' | bool }}", False),
        ("{% if port %}y{% endif %}", "y"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("a{# note #}b", "ab"),
        (["{{ port }}", {"k{{ port }}": "{{ port }}"}, 1], [8000, {"k{{ port }}": 8000}, 1]),
    ],
)
def test_templates_are_rendered_and_single_expressions_keep_their_type(
    template: object, value: object
) -> None:
    found = fill(template)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("template", "code", "what", "variable"),
    [
        ("{{ prot }}", "template-undefined", "the variable 'prot' is undefined", ""),
        ("x{{ prot }}", "template-undefined", "the variable 'prot' is undefined", ""),
        ("{{ [prot] }}", "template-undefined", "the variable 'prot' is undefined", ""),
        ("{{ nested.deeep }}", "template-undefined", "no attribute 'deeep'", ""),
        ("{{ uses_unknown }}", "template-undefined", "'nowhere' is undefined", "uses_unknown"),
        ("{{ foreign }}", "template-undefined", "'query' is undefined", "foreign"),
        ("{{ circle }}", "template-circle", "circle -> other -> circle", "circle"),
        ("{{ port ", "template-syntax", "unexpected end of template", ""),
        ("{% if port %}", "template-syntax", "endif", ""),
        ("{{ port | to_jsn }}", "template-syntax", "No filter named 'to_jsn'", ""),
        ("{{ 1 / 0 }}", "template-failed", "division by zero", ""),
        ("{{ 'a' + 1 }}", "template-failed", "can only concatenate", ""),
        ("{{ port() }}", "template-failed", "not callable", ""),
        ("{{ 'maybe' | bool }}", "template-failed", "neither true nor false", ""),
        ("{{ ''.__class__.__mro__ }}", "template-failed", "may not do this", ""),
        ("{{ ports.append(1) }}", "template-failed", "may not do this", ""),
        ("{{ range(1000000000) | list }}", "template-failed", "too big", ""),
        ("{% include 'x' %}", "template-failed", "no template 'x'", ""),
    ],
)
def test_a_template_that_cannot_be_rendered_is_reported(
    template: str, code: str, what: str, variable: str
) -> None:
    found = fault(template)
    assert (found.code, found.variable.split(" ")[0]) == (code, variable)
    assert what in found.what


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{{ prot }}", "did you mean 'port'?"),
        ("{{ zzzzzz }}", "set it in `vars:`, in the inventory or with -e"),
        ("{{ port | to_jsn }}", "did you mean 'to_json'?"),
    ],
)
def test_the_nearest_name_is_suggested(template: str, hint: str) -> None:
    assert fault(template).hint == hint


def test_unused_variables_are_never_rendered() -> None:
    # An inventory may be full of variables for Ansible's own plugins.
    assert fill("{{ port }}") == 8000


def test_a_long_chain_of_variables_is_refused_and_not_a_crash() -> None:
    values: dict[str, object] = {f"v{n}": f"{{{{ v{n + 1} }}}}" for n in range(5000)}
    with pytest.raises(TemplateFaultError, match="circle"):
        Variables(values).fill("{{ v0 }}")


def test_a_variable_overrides_a_global_of_jinja() -> None:
    assert Variables({"range": "mine"}).fill("{{ range }}") == "mine"


def test_a_file_is_reported_with_the_line(tmp_path: Path) -> None:
    template = tmp_path / "a.j2"
    template.write_text("one\n{% for p in ports %}\n{{ p.x.y }}\n{% endfor %}\n")
    with pytest.raises(TemplateFaultError) as caught:
        Variables(VALUES).fill_file(template, {})
    assert (caught.value.file, caught.value.line) == (str(template), 3)


def test_a_syntax_error_in_an_included_file_is_reported_there(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("one\n{% include 'b.j2' %}\n")
    (tmp_path / "b.j2").write_text("two\n\n{{ port \n")
    with pytest.raises(TemplateFaultError) as caught:
        Variables(VALUES).fill_file(tmp_path / "a.j2", {})
    assert caught.value.file == str(tmp_path / "b.j2")
    assert caught.value.line in (3, 4)


def test_an_included_file_sees_the_same_variables(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% include 'b.j2' %}")
    (tmp_path / "b.j2").write_text("{{ name }} {{ extra }}")
    assert Variables(VALUES).fill_file(tmp_path / "a.j2", {"extra": 1}) == "eu-web 1"


def test_a_template_cannot_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.j2").write_text("{% include '../secret' %}")
    with pytest.raises(TemplateFaultError, match="no template"):
        Variables(VALUES).fill_file(tmp_path / "in" / "a.j2", {})


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "a.j2").write_bytes(content)
    with pytest.raises(TemplateFaultError, match=r"no template 'a\.j2'|not UTF-8"):
        Variables(VALUES).fill_file(tmp_path / "a.j2", {})


def test_our_own_templates_are_found() -> None:
    names = {path.name for path in own_templates().iterdir()}
    assert {"service.j2", "socket.j2", "timer.j2"} <= names


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ true | ternary('a', 'b') }}", "a"),
        ("{{ '' | ternary('a', 'b') }}", "b"),
        ("{{ none | ternary('a', 'b', 'c') }}", "c"),
        ("{{ {'a': 1, 'b': {'c': 1}} | combine({'b': {'d': 2}}) }}", {"a": 1, "b": {"d": 2}}),
        (
            "{{ {'b': {'c': 1}} | combine({'b': {'d': 2}}, recursive=True) }}",
            {"b": {"c": 1, "d": 2}},
        ),
        ("{{ {'a': [1, 2]} | combine({'a': [2, 3]}, list_merge='append_rp') }}", {"a": [1, 2, 3]}),
        ("{{ [{'a': 1}, {'b': 2}] | combine }}", {"a": 1, "b": 2}),
        ("{{ 'web1.example.com' | regex_replace('^([a-z0-9]+)[.].*$', '\\\\1') }}", "web1"),
        ("{{ 'aXbx' | regex_replace('x', '-', ignorecase=True) }}", "a-b-"),
        ("{{ 'two words' | quote }}", "'two words'"),
        ("{{ lookup('env', 'SHIPIT_TEST') }}", "from env"),
        ("{{ lookup('ansible.builtin.env', 'SHIPIT_NONE', default='x') }}", "x"),
    ],
)
def test_filters_and_lookups_mean_what_they_mean_to_ansible(
    monkeypatch: pytest.MonkeyPatch, template: str, value: object
) -> None:
    monkeypatch.setenv("SHIPIT_TEST", "from env")
    assert Variables({}).fill(template) == value


@pytest.mark.parametrize(
    ("template", "reported"),
    [
        ("{{ lookup('file', '/etc/passwd') }}", "only lookup('env', 'NAME')"),
        ("{{ [1] | combine({}) }}", "combine takes mappings, not int"),
        ("{{ {} | combine({}, list_merge='x') }}", "list_merge must be one of replace"),
        ("a {{ omit }}", "omit is the whole value"),
    ],
)
def test_unsupported_features_of_ansible_are_reported(template: str, reported: str) -> None:
    with pytest.raises(TemplateFaultError, match=re.escape(reported)):
        Variables({}).fill(template)


def test_a_key_that_is_omitted_is_left_out() -> None:
    given = {"a": "{{ nothing | default(omit) }}", "b": {"c": "{{ omit }}", "d": 1}}
    assert Variables({}).fill(given) == {"b": {"d": 1}}


def test_an_unsafe_text_is_not_a_template() -> None:
    assert Variables({"x": Raw("{{ y }}")}).fill("{{ x }}") == "{{ y }}"
