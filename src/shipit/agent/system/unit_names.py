"""Say what the name of a systemd unit tells. Pure."""


def family(name: str) -> str:
    """Return what a unit's names in all releases have in common: `app-web` of `app-web@1.service`.

    Instances of a service, units of a release, and the plain name of a service are of one family.
    """
    return name.rpartition(".")[0].partition("@")[0]


def is_timer(name: str) -> bool:
    """Whether it is the unit that starts a job at its times."""
    return name.endswith(".timer")
