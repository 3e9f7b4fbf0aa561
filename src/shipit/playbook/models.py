"""A playbook as frozen models; the types of their values are in `fields`.

Each field's description and examples appear in errors, the JSON Schema and docs/playbook.md.
A model takes rendered values; `rules` checks combinations of keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from shipit.agent.protocol.manifest import OVERLAP, RESTART
from shipit.playbook.fields import (
    AppName,
    Batches,
    Calendar,
    Command,
    Confirm,
    Count,
    Destination,
    Directive,
    DirectiveValue,
    Directory,
    Duration,
    EnvValue,
    File,
    FileMode,
    Flag,
    GroupName,
    Handover,
    Installer,
    Instances,
    Line,
    Listen,
    Model,
    Name,
    OneFile,
    Percentage,
    ReadContext,
    Reference,
    Restart,
    Root,
    Specifier,
    UserName,
    Variable,
    VarName,
    Words,
    WorkDirectory,
)
from shipit.playbook.health import Health, as_health
from shipit.playbook.project import Project, as_project


def _usual_handover(service: Mapping[str, object]) -> str:
    """Return the default handover of a service: the one that loses the fewest requests."""
    can_share = service.get("socket") and not service.get("timer") and not service.get("unit")
    return OVERLAP if can_share else RESTART


def as_env_files(value: object) -> object:
    """Expand a single file to a list, and a path to a mapping with `path` only."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item if isinstance(item, Mapping) else {"path": item} for item in items]


class EnvFile(Model):
    """A dotenv file on this machine; without `public`, its path alone is enough."""

    path: File = Field(
        description="The file, relative to the playbook.",
        examples=["prod.env"],
    )
    public: tuple[Variable, ...] = Field(
        default=(),
        description="The variables in it that are not secret; the others are masked in all output.",
        examples=[["LOG_LEVEL", "PORT"]],
    )


EnvFiles = Annotated[tuple[EnvFile, ...], BeforeValidator(as_env_files)]
_ENV_FILES: list[Any] = [
    "prod.env",
    ["common.env", {"path": "prod.env", "public": ["LOG_LEVEL", "PORT"]}],
]


class RenderedFile(Model):
    """A file of the release, made from one on this machine."""

    src: File = Field(
        description="A text file on this machine; one whose name ends in .j2 is a template.",
        examples=["templates/logging.ini.j2"],
    )
    dest: Destination = Field(
        description="Its path in the release's files/, the services' working directory.",
        examples=["logging.ini"],
    )
    mode: FileMode = Field(
        default=0o644,
        description="Its mode, in quotes. Files belong to root and the group of the app's user.",
        examples=["0640"],
    )


class Service(Model):
    """A process that systemd runs: a long-running one, or with `timer` a job."""

    command: Command = Field(
        default="",
        description="What to run, in the syntax of systemd's ExecStart (quotes, $VARIABLES and"
        " %-specifiers as in systemd; write %% for a percent sign). The first word is looked up in"
        " the release's venv/bin unless it is an absolute path. Required unless `unit` is given.",
        examples=["uvicorn demoapp.main:app --fd 3"],
    )
    socket: Listen = Field(
        default="",
        description="Where systemd listens for the service, which gets the socket as descriptor 3:"
        " a port, IP:port, [IPv6]:port or an absolute path.",
        examples=[8000, "127.0.0.1:8000", "/run/demoapp.sock"],
    )
    socket_mode: FileMode = Field(
        default=0o660,
        description="The mode of a unix `socket`, in quotes: who may connect.",
        examples=["0660", "0666"],
    )
    socket_user: UserName = Field(
        default="",
        description="The owner of a unix `socket`. Default: the app's user.",
        examples=["www-data"],
    )
    socket_group: GroupName = Field(
        default="",
        description="The group of a unix `socket`: that of the proxy in front, which must be able"
        " to connect. Default: the group of its owner.",
        examples=["www-data"],
    )
    timer: Calendar = Field(
        default="",
        description="When to run the job, in the syntax of systemd's OnCalendar. A run missed while"
        " the machine was off is run later.",
        examples=["*-*-* 03:00:00", "hourly"],
    )
    unit: File | None = Field(
        default=None,
        description="A custom template for the service's unit, instead of the default; it may begin"
        ' with {% extends "shipit/service.j2" %}.',
        examples=["templates/web.service.j2"],
    )
    handover: Handover = Field(
        default_factory=_usual_handover,
        description="How a new release takes over. `overlap`: it is verified on a private socket,"
        " then started beside the old one on the shared `socket`; once it accepts connections, the"
        " old one is stopped and finishes its requests. Without a socket the new one must run"
        " steadily first. `restart`: the old one stops, then the new one starts; connections to a"
        " `socket` wait in the kernel meanwhile. Default: overlap for a service with a `socket`;"
        " restart for one without, and for one with its own `unit`.",
        examples=["overlap", "restart"],
    )
    instances: Instances = Field(
        default=1,
        description="How many processes run the service; they are replaced one at a time.",
        examples=[4],
    )
    notify: Flag = Field(
        default=False,
        description="The command notifies systemd when it is ready (sd_notify, READY=1).",
        examples=[True],
    )
    restart: Restart = Field(
        default="",
        description="When systemd starts the process again: on-failure for services, no for jobs,"
        " unless given.",
        examples=["always"],
    )
    stop_timeout: Duration = Field(
        default=30.0,
        description="How long the process may take to stop before it is killed.",
        examples=["30s", "5m"],
    )
    workdir: WorkDirectory = Field(
        default="",
        description="The directory that the service starts in: an absolute path on the host, or"
        " `shared` or a path below it, which the service can write to and which survives releases."
        " Default: the release's files/, which is read-only.",
        examples=["shared", "/var/lib/demoapp"],
    )
    env: Mapping[Variable, EnvValue] = Field(
        default={},
        description="Environment variables of this service alone; they override those of the app.",
        examples=[{"WORKERS": "4"}],
    )
    env_file: EnvFiles = Field(
        default=(),
        description="Dotenv files with environment variables of this service alone.",
        examples=_ENV_FILES[:1],
    )
    hardening: Mapping[Directive, DirectiveValue] = Field(
        default={},
        description="Changes to how systemd confines the service: false removes a directive, a text"
        " replaces its value.",
        examples=[{"PrivateTmp": False, "UMask": "0022"}],
    )

    @property
    def is_job(self) -> bool:
        return bool(self.timer)


class Deployment(Model):
    """One app on one group of hosts."""

    app: AppName = Field(
        description="The app's name, used for its units, its root and its directories.",
        examples=["demoapp"],
    )
    name: Line = Field(
        default_factory=lambda data: str(data.get("app", "")),
        description="The name of this deployment in the output. Default: the app's name.",
        examples=["Ship the demo service"],
    )
    hosts: Line = Field(
        description="Which hosts of the inventory, as an Ansible pattern. No templates here.",
        examples=["web", "web:&eu:!web3"],
    )
    project: Annotated[Project | None, BeforeValidator(as_project)] = Field(
        default=None,
        description="The project that the release is built from: a path, or a mapping. Its wheel is"
        " built, and the dependencies in its lock are fetched for the hosts' Python and platform."
        " A project without a build system is shipped as it is.",
        examples=["..", {"path": "..", "groups": ["prod"]}],
    )
    wheel: OneFile | None = Field(
        default=None,
        description="The app's wheel, or a pattern that exactly one file matches; instead of"
        " `project`, with `lock` and `wheelhouse`.",
        examples=["dist/demoapp-1.4.0-py3-none-any.whl"],
    )
    lock: File | None = Field(
        default=None,
        description="The versions and hashes of all dependencies: uv.lock, requirements with"
        " hashes, pylock.toml, or the lock of Poetry 2, PDM or Pipenv. Default: that of `project`.",
        examples=["uv.lock"],
    )
    wheelhouse: Directory | None = Field(
        default=None,
        description="The folder with the wheels of the lock, and the wheel of uv or pip. With"
        " `project`, they are taken from there instead of an index.",
        examples=["wheels/"],
    )
    python: Specifier = Field(
        default="",
        description="Which Pythons of the host are accepted. Default: any that the wheel accepts.",
        examples=[">=3.11"],
    )
    installer: Installer | None = Field(
        default=None,
        description="What creates the venv. Default: uv if the wheelhouse has it, else pip.",
        examples=["uv"],
    )
    root: Root = Field(
        default_factory=lambda data: f"/opt/{data.get('app', '')}",
        description="The app's directory on the host. Default: /opt/<app>.",
        examples=["/opt/demoapp"],
    )
    user: UserName = Field(
        default_factory=lambda data: str(data.get("app", "")),
        description="The system user that the services run as; created if missing. Default: the"
        " app's name; to use an existing account of that name, set it here.",
        examples=["demoapp"],
    )
    keep_releases: Count = Field(
        default=5, description="How many verified releases to keep for rollbacks.", examples=[5]
    )
    vars: Mapping[VarName, Any] = Field(
        default={},
        description="Variables for {{ templates }}, in this playbook and in its files. They"
        " override those of the inventory.",
        examples=[{"port": 8000}],
    )
    env: Mapping[Variable, EnvValue] = Field(
        default={},
        description="Environment variables of all services.",
        examples=[{"PORT": "{{ port }}"}],
    )
    env_file: EnvFiles = Field(
        default=(),
        description="Dotenv files on this machine with environment variables of all services: a"
        " path, or a list of these. Their values are secret, except those listed in `public`.",
        examples=_ENV_FILES,
    )
    secrets: Mapping[Variable, Reference] = Field(
        default={},
        description="Environment variables of all services that are never shown. The value is a"
        " reference to the secret: env:NAME, file:PATH or command:ARGV.",
        examples=[{"DATABASE_URL": "env:PROD_DATABASE_URL"}],
    )
    files: tuple[RenderedFile, ...] = Field(
        default=(),
        description="Files of the release besides the code.",
        examples=[[{"src": "templates/logging.ini.j2", "dest": "logging.ini", "mode": "0640"}]],
    )
    services: Annotated[Mapping[Name, Service], Field(min_length=1)] = Field(
        description="What runs, by name; at least one. The unit of each is <app>-<name>.service.",
        examples=[{"web": {"command": "uvicorn demoapp.main:app --fd 3", "socket": 8000}}],
    )
    smoke: Words = Field(
        default="",
        description="A command that must succeed in the new venv before anything is switched; run"
        " as the app's user, without a shell.",
        examples=["demoapp --version"],
    )
    health: Annotated[Health, BeforeValidator(as_health)] = Field(
        default=Health(),
        description="When the release counts as healthy: a list of checks, or a mapping.",
        examples=[[{"http": "http://127.0.0.1:8000/healthz"}]],
    )
    serial: Batches = Field(
        default=("100%",),
        description="How many hosts to switch at a time: a number, a percentage, or a list of these"
        " whose last one repeats.",
        examples=[[1, "25%", "100%"]],
    )
    max_fail_percentage: Percentage = Field(
        default=0.0,
        description="How much of the fleet may fail before every host is rolled back; unreachable"
        " hosts are counted apart.",
        examples=[0, 10],
    )
    confirm: Confirm = Field(
        default="controller",
        description="Who commits a healthy host: the `controller`, all at once, or the `host`.",
        examples=["host"],
    )
    confirm_timeout: Duration = Field(
        default=60.0,
        description="How long a switched host waits for the controller before it rolls back.",
        examples=["60s"],
    )

    def env_files_of(self, service: str) -> tuple[EnvFile, ...]:
        """Return the files with variables of a service; a later one overrides an earlier one."""
        return (*self.env_file, *self.services[service].env_file)


# --- validating --------------------------------------------------------------------------------


def validate(
    values: Mapping[str, object], context: ReadContext
) -> Deployment | list[dict[str, Any]]:
    """Return the deployment, or all of pydantic's errors."""
    try:
        return Deployment.model_validate(values, context=context)
    except ValidationError as error:
        return [dict(found) for found in error.errors(include_url=False)]


def json_schema() -> dict[str, Any]:
    return Deployment.model_json_schema()
