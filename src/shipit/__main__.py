"""Run `python -m shipit` as `shipit`."""

from shipit.cli.main import entry

if __name__ == "__main__":
    entry()
