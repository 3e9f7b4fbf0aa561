"""A service of a playbook as a frozen model, with its env files; see `models`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from shipit.agent.protocol.manifest import OVERLAP, RESTART
from shipit.playbook.fields import (
    Calendar,
    Command,
    Directive,
    DirectiveValue,
    Duration,
    EnvValue,
    File,
    FileMode,
    Flag,
    GroupName,
    Handover,
    Instances,
    Listen,
    Model,
    Restart,
    Serve,
    StopSignal,
    UserName,
    Variable,
    WorkDirectory,
)
from shipit.servers import serving


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
ENV_FILES: list[Any] = [
    "prod.env",
    ["common.env", {"path": "prod.env", "public": ["LOG_LEVEL", "PORT"]}],
]


class Service(Model):
    """A process that systemd runs: a long-running one, or with `timer` a job."""

    serve: Serve = Field(
        default="",
        description="An app server or a task worker with its arguments, instead of `command`. It"
        " becomes the command with all that the server needs to lose nothing in a hand-over, and"
        " the `stop_timeout`, `stop_signal` and `workdir` that suit it; what you write yourself"
        f" stays. `shipit plan` shows what it became. Known are {', '.join(serving.SERVED)}.",
        examples=["uvicorn demoapp.main:app", "celery -A demoapp.tasks"],
    )
    command: Command = Field(
        default="",
        description="What to run, in the syntax of systemd's ExecStart (quotes, $VARIABLES and"
        " %-specifiers as in systemd; write %% for a percent sign). The first word is looked up in"
        " the release's venv/bin unless it is an absolute path. Required unless there is `serve` or"
        " `unit`.",
        examples=["demoapp-worker --queue mail"],
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
        description="How long the process may take to stop before it is killed. With `serve`, a"
        " task worker has 5m.",
        examples=["30s", "5m"],
    )
    stop_signal: StopSignal = Field(
        default="",
        description="The signal that asks the process to stop: SIGTERM, unless given.",
        examples=["SIGINT"],
    )
    workdir: WorkDirectory = Field(
        default="",
        description="The directory that the service starts in: an absolute path on the host, or"
        " `shared` or a path below it, which the service can write to and which survives releases."
        " Default: the release's files/, or the files of a `project` that is no package; both are"
        " read-only.",
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
        examples=ENV_FILES[:1],
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

    @property
    def command_key(self) -> str:
        """The key that its command comes from."""
        return "serve" if self.serve else "command"

    @property
    def is_shared(self) -> bool:
        """Whether several processes of it may run at the same time."""
        return self.handover == OVERLAP or self.instances > 1

    @property
    def programs(self) -> tuple[str, ...]:
        """What the release brings along for it, of servers/programs; the first one is run."""
        return serving.programs_of(self.serve, has_socket=bool(self.socket))

    def expanded(self) -> Service:
        """Return the service with what its `serve:` line becomes; its own keys stay."""
        if not self.serve:
            return self
        given = self.model_fields_set
        served = serving.expand(
            self.serve,
            has_socket=bool(self.socket),
            side_by_side=self.is_shared,
            stop_timeout=self.stop_timeout if "stop_timeout" in given else None,
        )
        return self.model_copy(
            update={key: value for key, value in vars(served).items() if key not in given}
        )
