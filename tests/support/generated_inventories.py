"""Make inventories and selections for the comparison with Ansible, with hypothesis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping

Selection = tuple[str, str | None]

# A group contains only groups later in this list: no circles.
GROUPS = ["eu", "us", "web", "db", "g_x", "k8s-1"]
HOSTS = ["w1", "w2", "w3:2222", "x.example.com", "10.0.0.7", "localhost", "fe80::1"]
RANGES = ["w[1:3]", "n[01:10:3].x", "c[a:e:2]-[0:1]", "d[:2]", "[08:10]y"]
variables = st.dictionaries(
    st.sampled_from(["v1", "v2", "v3", "ansible_port"]),
    st.sampled_from([1, "one", "{{ v1 }}", True, None, [1, "a"], {"k": {"l": 2}}, 1.5, "0x1", ""]),
    max_size=2,
)
group_variables = st.builds(
    lambda plain, priority: {**plain, **({"ansible_group_priority": priority} if priority else {})},
    variables,
    st.sampled_from([0, 0, 0, 1, 2, "10"]),
)


@st.composite
def group_contents(draw: st.DrawFn, allowed: tuple[str, ...], depth: int) -> dict[str, Any] | None:
    content: dict[str, Any] = {
        "hosts": draw(st.dictionaries(st.sampled_from(HOSTS + RANGES), variables, max_size=3)),
        "vars": draw(group_variables),
        "children": {},
    }
    for name in draw(st.lists(st.sampled_from(allowed), unique=True, max_size=2)) if depth else ():
        later = allowed[allowed.index(name) + 1 :]
        content["children"][name] = draw(group_contents((*later,), depth - 1)) if later else None
    order = draw(st.permutations(list(content)))
    return {key: content[key] for key in order if content[key]} or None


@st.composite
def yaml_inventories(draw: st.DrawFn) -> str:
    document: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(GROUPS), unique=True, max_size=3)):
        later = tuple(GROUPS[GROUPS.index(name) + 1 :])
        document[name] = draw(group_contents(later, 2)) if later else None
    if draw(st.booleans()):
        document["all"] = draw(group_contents((*GROUPS, "ungrouped"), 1))
    document = document or {"web": None}
    as_text = json.dumps if draw(st.booleans()) else yaml.safe_dump
    return str(as_text(document, sort_keys=False))


@st.composite
def ini_inventories(draw: st.DrawFn) -> str:
    named = draw(st.lists(st.sampled_from(GROUPS), unique=True, min_size=1, max_size=4))
    sections = [draw(host_lines())]
    for name in named:
        sections.append([f"[{name}]", *draw(host_lines())])
        later = [other for other in named if GROUPS.index(other) > GROUPS.index(name)]
        if draw(st.booleans()) and later:
            chosen = st.lists(st.sampled_from(later), max_size=2)
            sections.append([f"[{name}:children]", *draw(chosen)])
        if draw(st.booleans()):
            pairs = draw(group_variables).items()
            sections.append([f"[{name}:vars]", *(f"{key} = {value!r}" for key, value in pairs)])
    first, *others = sections
    return "\n".join(
        line for section in [first, *draw(st.permutations(others))] for line in section
    )


@st.composite
def host_lines(draw: st.DrawFn) -> list[str]:
    lines = []
    for host in draw(st.lists(st.sampled_from(HOSTS + RANGES), max_size=3)):
        pairs = [f"{k}={v}" for k, v in draw(variables).items() if isinstance(v, (int, float))]
        lines.append(" ".join([host, *pairs]))
    return lines


@st.composite
def script_inventories(draw: st.DrawFn) -> str:
    names = st.lists(st.sampled_from(["w1", "w2", "s1", "s2"]), unique=True, max_size=3)
    answer: dict[str, Any] = {
        name: {"hosts": draw(names), "vars": draw(group_variables)}
        for name in draw(st.lists(st.sampled_from(GROUPS), unique=True, max_size=3))
    }
    for name in list(answer):
        later = GROUPS[GROUPS.index(name) + 1 :]
        if draw(st.booleans()) and later:
            answer[name]["children"] = draw(st.lists(st.sampled_from(later), max_size=2))
    answer["_meta"] = {"hostvars": draw(st.dictionaries(st.sampled_from(["w1", "s1"]), variables))}
    return f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n"


@st.composite
def selections_(draw: st.DrawFn) -> Selection:
    known = [*GROUPS, "all", "ungrouped", "w1", "x.example.com", "10.0.0.7", "localhost", "nobody"]
    odd = ["w*", "*", "~w[0-9]", "~.*x", "?1", "w[13]", "e[u]", "*[0:2]", "w*[1]", "*.example.*"]
    indexed = [f"{g}[{i}]" for g in ("web", "eu", "all") for i in ("0", "-1", "0:1", "1:", "2:5")]
    part = st.builds(
        str.__add__, st.sampled_from(["", "", "&", "!"]), st.sampled_from(known + odd + indexed)
    )
    pattern = st.builds(
        lambda sign, parts: sign.join(parts),
        st.sampled_from([":", ","]),
        st.lists(part, min_size=1, max_size=3),
    )
    return draw(pattern), draw(st.one_of(st.none(), pattern))


class Case(NamedTuple):
    files: dict[str, str]
    sources: list[str]
    selections: list[Selection]


FORMS = {
    "yaml.yml": yaml_inventories(),
    "bare": yaml_inventories(),
    "ini": ini_inventories(),
    "prod.ini": ini_inventories(),
    "script.sh": script_inventories(),
}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    files: dict[str, str] = {}
    sources: list[str] = []
    for folder in draw(st.lists(st.sampled_from(["one", "two", "six"]), min_size=1, max_size=3)):
        forms = draw(st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=2, unique=True))
        for form in forms:
            files[f"{folder}/{form}"] = draw(FORMS[form])
        sources += [folder] if draw(st.booleans()) else [f"{folder}/{form}" for form in forms]
        for kind, names in (("group_vars", [*GROUPS, "all"]), ("host_vars", ["w1", "n04.x"])):
            for name in draw(st.lists(st.sampled_from(names), max_size=2)):
                ending = draw(st.sampled_from(["", ".yml", ".json", "/a", "/b.yaml"]))
                files[f"{folder}/{kind}/{name}{ending}"] = json.dumps(draw(variables))
    return Case(without_clashes(files), sources, draw(st.lists(selections_(), max_size=6)))


def without_clashes(files: Mapping[str, str]) -> dict[str, str]:
    """Leave out what can't be: a file where another one needs a folder."""
    needed = {str(parent) for name in files for parent in Path(name).parents}
    return {name: text for name, text in files.items() if name not in needed}
