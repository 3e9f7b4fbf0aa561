"""Write docs/playbook.md from the models, so that it can't fall behind them.

`python -m shipit.playbook.docs > docs/playbook.md` writes it; a test compares. It says what the
fields say, and what holds for all of them.
"""

from __future__ import annotations

import sys
from typing import Any

from shipit.playbook import models
from shipit.playbook.parsers import written

_INTRO = """\
# The playbook

<!-- Written by `python -m shipit.playbook.docs > docs/playbook.md`; do not edit. -->

A playbook is a YAML file that says what should run where. It is one deployment (a mapping), or a
list of deployments that are done in order. `shipit schema` prints its JSON Schema for editors.
Unknown keys are refused; all mistakes are reported at once, each with file:line:column.

- **Paths** on this machine are relative to the playbook; `~` is your home.
- **Durations** are `250ms`, `30s`, `5m`, `1h`, or a number of seconds; at most a day.
- **Templates**: every value may hold Jinja2 (`{{ port }}`), but for `hosts` and for keys. A value
  that is one expression and nothing else keeps its type. An undefined variable is an error.
- **Variables** come from the inventory, from `vars`, and from the command line (`-e`), the later
  overriding the earlier; they may refer to each other. Always there: `app`, `root`, `user`,
  `release.id`, `release.version`, `release.path`, `inventory_hostname`, `group_names`. Of Ansible's
  filters there are Jinja2's own and those of docs/inventory.md.
- **Secrets** get into the services' environment alone: no template can see them.
- **Env files** are dotenv files, read as python-dotenv does: `NAME=value` or `export NAME=value`;
  `#` begins a comment on a line of its own or after a space. Both kinds of quotes keep spaces, `#`
  and several lines; in double quotes `\\n` is a newline, `\\"` a quote. Nothing is expanded: `$`
  and `$NAME` stay as they are, and `${NAME}` is refused outside of single quotes. So is a line that
  cannot be read, a name without `=`, and one that is given twice.
- **Environment variables**: `env` and `secrets` override env files, and a service's `env` the
  app's. A service's env files override those of the app, and a later file an earlier one.
- **What is in an env file is secret**, but for the variables that its `public` names. Name those
  that logs should show: a secret `PORT=8000` masks 8000 in all that is printed.

```yaml
name: Ship the demo service
hosts: web
app: demoapp
wheel: dist/demoapp-1.4.0-py3-none-any.whl
lock: requirements.lock
wheelhouse: wheels/
vars: {port: 8000}
services:
  web: {command: uvicorn demoapp.main:app --fd 3, socket: "{{ port }}"}
health:
  - {http: "http://127.0.0.1:{{ port }}/healthz", json: {version: "{{ release.version }}"}}
```
"""
_SECTIONS = (
    ("Deployment", "A deployment"),
    ("Service", "A service: `services.<name>`"),
    ("EnvFile", "A file of variables: an item of `env_file`"),
    ("RenderedFile", "A file: an item of `files`"),
    ("Health", "`health`"),
    ("Check", "A check: an item of `health.checks`"),
)
_UNITS = """\

## Units

A service `web` of the app `demoapp` is the unit `demoapp-web.service`, and with `socket` or `timer`
`demoapp-web.socket` or `demoapp-web.timer`. The templates are in the folder `templates/` of the
source. A template of one's own (`unit:`) has the same variables, and `service` with `name`, `unit`,
`socket_unit`, `exec_start`, `workdir`, `socket`, `timer`, `restart`, `start_timeout`,
`stop_timeout` and `hardening`. It may keep the default and change a block (unit, service,
hardening, install):

```jinja
{% extends "shipit/service.j2" %}
{% block service %}
{{ super() -}}
LimitNOFILE=65536
{% endblock %}
```

By default a service can write only to its own folders, which systemd makes and names in the
environment: `$STATE_DIRECTORY`, `$CACHE_DIRECTORY`, `$LOGS_DIRECTORY`, `$RUNTIME_DIRECTORY`; and to
`shared/` in the app's root. A relative path leads to the release's files/, which is read-only, or
to the service's `workdir:`. It sees no homes, devices or other services' temporary files, gains no
privileges, and can't change the kernel. `hardening:` changes or leaves out each of these.
"""


def markdown() -> str:
    """Return the text of docs/playbook.md."""
    schema = models.json_schema()
    known = {"Deployment": schema, **schema["$defs"]}
    return _INTRO + "".join(_section(known[name], title) for name, title in _SECTIONS) + _UNITS


def _section(model: dict[str, Any], title: str) -> str:
    required = model.get("required", [])
    rows = [
        _row(key, found, is_required=key in required) for key, found in model["properties"].items()
    ]
    head = f"\n## {title}\n\n{model['description']}\n\n"
    return head + "| key | means | default | for example |\n|---|---|---|---|\n" + "".join(rows)


def _row(key: str, found: dict[str, Any], *, is_required: bool) -> str:
    default = "**required**" if is_required else _default(key, found.get("default"))
    examples = ", ".join(f"`{written(example)}`" for example in found.get("examples", []))
    cells = [f"`{key}`", found["description"], default, examples]
    cells[1] = cells[1].replace("<", "\\<")  # outside of code it would be a tag
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(key: str, value: object) -> str:
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    if key.endswith("mode") and isinstance(value, int):
        return f'`"{value:04o}"`'
    if isinstance(value, float) and key != "max_fail_percentage":
        return f"`{value:g}s`" if value >= 1 else f"`{value * 1000:g}ms`"
    if isinstance(value, list):
        value = value[0]
    return f"`{value:g}`" if isinstance(value, float) else f"`{written(value)}`"


def main() -> None:
    sys.stdout.write(markdown())


if __name__ == "__main__":
    main()
