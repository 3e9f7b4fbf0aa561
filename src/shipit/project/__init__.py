"""What a playbook's `project:` becomes: the app's wheel, and the wheels of its lock for a host.

Builds and fetches on this machine, before any host is changed. Its results are wheels in a cache:
from there on a release is made as from a wheelhouse.
"""
