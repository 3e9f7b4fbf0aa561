"""Read the parts of a systemd unit's name. Pure."""


def family(name: str) -> str:
    """Return the common part of a unit's names in all releases: `app-web` of `app-web@1.service`.

    Instances of a service, units of a release, and the plain name of a service share a family.
    """
    return name.rpartition(".")[0].partition("@")[0]


def is_timer(name: str) -> bool:
    """Whether it is a timer unit."""
    return name.endswith(".timer")
