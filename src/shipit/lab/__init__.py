"""Disposable real hosts by systemd-nspawn, for rehearsals and tests."""
