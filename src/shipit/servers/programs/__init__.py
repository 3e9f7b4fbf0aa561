"""Programs that a release brings along for `serve:`: they run on the host, in the release's venv.

Each is a server's own command line with what a hand-over needs and no option can say. Written for
the Pythons of the hosts, 3.8 and newer.
"""
