"""Recognize files and keys of other tools, and suggest what to write instead. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_NOTHING = "nothing: "
# Keys of other tools (systemd, Compose, Kamal, Ansible, supervisord, cron), in lower case and
# without separators, with what to write in a shipit playbook.
_KEYS = {
    "execstart cmd exec run script entrypoint program start": "`command:` of a service",
    "execstartpre tasks pretasks posttasks handlers roles beforescript": (
        "nothing: a playbook says what runs. Commands at the points of a deploy are `hooks:`"
    ),
    "execreload": "nothing: a release is started anew",
    "environment environ envvars": "`env: {NAME: value}`, and `secrets:` for what nobody may see",
    "envfile environmentfile dotenv": (
        "`env_file:`, a dotenv file on this machine, or a list of these"
    ),
    "image build builder dockerfile registry container": (
        "`wheel:`, `lock:` and `wheelhouse:`: wheels are shipped, not images"
    ),
    "ports port expose bind listen listenstream": (
        "`socket:` of a service: systemd listens there, the service gets descriptor 3"
    ),
    "proxy": "nothing: behind a `socket:` of a service no proxy is needed",
    "cron crontab schedule oncalendar every": (
        '`timer:` of a service, as systemd\'s OnCalendar: "*-*-* 03:00:00"'
    ),
    "replicas scale numprocs processes": "`instances:` of a service",
    "workers": "`instances:` of a service, or the option of its command",
    "deploy": "`instances:` of a service; `serial:` says how many hosts at a time",
    "autorestart restartpolicy": "`restart:` of a service: on-failure, always, no ...",
    "restartsec": "nothing: it is one second; a `unit:` template of your own may say another",
    "healthcheck healthchecks checks livenessprobe readinessprobe": (
        '`health:`, a list of checks: - {http: "http://127.0.0.1:8000/healthz"}'
    ),
    "stopgraceperiod stopwaitsecs timeoutstopsec draintimeout gracefultimeout": (
        "`stop_timeout:` of a service"
    ),
    "when": "`hosts:` with a pattern (web:&eu), or a template with {% if %}",
    "varsfiles": "`vars:` here, group_vars/ of the inventory, or -e @FILE",
    "gatherfacts": "nothing: hosts are set up by Ansible and the like, before",
    "become": "`ansible_become: true` in the inventory",
    "becomeuser": "nothing: the host's agent runs as root; `user:` is whom the services run as",
    "remoteuser": "`ansible_user:` in the inventory",
    "connection": "`ansible_connection:` in the inventory",
    "servers host targets": "`hosts:`, a pattern of the inventory",
    "strategy": "`serial:`, and `handover:` of a service",
    "dependson": "nothing: services start together; one that needs another has to wait for it",
    "after": "a `unit:` template of your own with the block `unit`",
    "wantedby": "nothing: every service is started at boot",
    "volumes": "`shared/` in the app's root, which survives releases, or $STATE_DIRECTORY",
    "networks": "nothing: services use the network of the host",
    "linkeddirs": "`shared/` in the app's root, which survives releases",
    "assetpath assetspath assetsprefix staticroot": "`assets:`, with `from` or `command`",
    "linkedfiles": "`files:` for a file of the release, `shared/` for one that survives releases",
    "logging stdoutlogfile": "nothing: logs go to the journal: shipit logs",
    "workingdirectory cwd chdir": (
        "`workdir:` of a service: `shared`, or an absolute path on the host"
    ),
    "directory path": "`root:` of the app",
    "deployto": "`root:`",
    "packages": "`lock:`; packages of the system are installed by Ansible and the like, before",
    "requirements dependencies": "`lock:` with hashes",
    "pythonversion": '`python: ">=3.11"`',
    "version": "nothing: the version is the wheel's",
    "application project": "`app:`",
    "repository repourl branch": "`wheel:`: what is shipped is built before",
    "keepreleases releases": "`keep_releases:`",
    "memory memlimit limits": "`hardening: {MemoryMax: 500M}` of a service",
    "ulimits": "`hardening: {LimitNOFILE: 65536}` of a service",
    "capadd": "`hardening: {AmbientCapabilities: ...}` of a service",
    "maxfail": "`max_failures:` or `max_fail_percentage:`",
    "anyerrorsfatal": "nothing: one failed host takes all back (`max_fail_percentage: 0`)",
}
KEYS = {key: what for keys, what in _KEYS.items() for key in keys.split()}


def advice(key: object) -> str:
    """Return what to write instead of another tool's key, or "" for an unknown one."""
    found = KEYS.get(re.sub(r"[^a-z]", "", str(key).lower()), "")
    if found.startswith(_NOTHING):
        return f"there is no such key: {found.removeprefix(_NOTHING)}"
    return f"write {found}" if found else ""


_START = "begin with docs/playbook.md: app, hosts, project, services"
_OF_PLAYS = {
    *("tasks", "roles", "pre_tasks", "post_tasks", "handlers", "gather_facts", "import_playbook")
}
_SECTION = re.compile(r"\s*(?:[#;].*\n\s*)*\[([\w:. -]+)\]\s*\n")
_UNIT = {"Unit", "Service", "Socket", "Timer", "Path", "Install", "Container"}
_MODULE = re.compile(
    r"(?:ansible\.(?:builtin|posix)|community)\.\w+|apt|copy|template|shell|systemd"
)


def text_is(text: str) -> tuple[str, str] | None:
    """Return what a text is if it is no playbook, and what to do; None if it may be one."""
    found = _SECTION.match(text)
    if found is None:
        return None
    section = found[1]
    if section in _UNIT:
        hint = "write its ExecStart= as `command:` of a service; or name this file there as `unit:`"
        return "a systemd unit file", hint
    if section.startswith(("program:", "supervisord")):
        hint = "write each [program:x] as a service x with `command:`"
        return "a supervisord configuration", hint
    if section.partition(".")[0] in ("project", "tool", "build-system"):
        return "a pyproject.toml", _START
    return "an INI file", "an inventory is named with -i; a playbook is YAML"


def value_is(value: object) -> tuple[str, str] | None:
    """Return what a YAML value is if it is another tool's file, and what to do; else None."""
    return next(((what, hint) for is_one, what, hint in _KINDS if is_one(value)), None)


def _has(value: object, *keys: str) -> bool:
    return isinstance(value, Mapping) and all(key in value for key in keys)


def _mappings(value: object) -> list[Mapping[object, object]]:
    items = value.values() if isinstance(value, Mapping) else value
    found = list(items) if isinstance(items, Iterable) else []
    return [each for each in found if isinstance(each, Mapping)]


def _is_ours(value: object) -> bool:
    return _has(value, "app") or _has(value, "wheel")


def _is_ansible(value: object) -> bool:
    plays = _mappings(value) if isinstance(value, list) else []
    return any(_OF_PLAYS & set(map(str, play)) and not _is_ours(play) for play in plays)


def _is_tasks(value: object) -> bool:
    tasks = _mappings(value) if isinstance(value, list) else []
    return bool(tasks) and all(
        not _is_ours(task) and any(_MODULE.fullmatch(str(key)) for key in task) for task in tasks
    )


def _is_compose(value: object) -> bool:
    services = value.get("services") if isinstance(value, Mapping) else None
    if _is_ours(value) or not isinstance(services, Mapping):
        return False
    return any({"image", "build"} & set(map(str, service)) for service in _mappings(services))


def _is_procfile(value: object) -> bool:
    if not isinstance(value, Mapping) or not value or _is_ours(value):
        return False
    return "web" in value and all(isinstance(each, str) and " " in each for each in value.values())


# How to recognize a file of another tool, what it is, and what to do.
_KINDS: tuple[tuple[Callable[[object], object], str, str], ...] = (
    (
        _is_ansible,
        "an Ansible playbook",
        "run it with ansible-playbook; one of shipit says what runs, and has no tasks: " + _START,
    ),
    (_is_tasks, "a list of Ansible tasks", "shipit runs no tasks: " + _START),
    (
        _is_compose,
        "a Docker Compose file",
        "shipit ships wheels, not images: write each service's `command:`, and " + _START,
    ),
    (
        lambda value: _has(value, "service", "image") or _has(value, "service", "servers"),
        "a Kamal deploy.yml",
        "shipit ships wheels, not images; servers are in the inventory: " + _START,
    ),
    (
        lambda value: _has(value, "apiVersion", "kind"),
        "a Kubernetes manifest",
        "shipit deploys to hosts with systemd: " + _START,
    ),
    (
        lambda value: _has(value, "jobs") and not _is_ours(value),
        "a GitHub Actions workflow",
        "name the playbook that the workflow deploys",
    ),
    (
        lambda value: _has(value, "all") and not _is_ours(value),
        "an inventory",
        "name it with -i, and a playbook as the argument",
    ),
    (
        _is_procfile,
        "a Procfile",
        "write each line as a service: `services: {web: {command: ...}}`; " + _START,
    ),
)
