"""A small web service with a worker and a nightly job, to be deployed."""

from importlib.metadata import version

__version__ = version("demoapp")
