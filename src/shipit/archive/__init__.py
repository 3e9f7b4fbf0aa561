"""The bundle: one file with all wheels of a release, for the hosts that it was built for.

Built once, it is what a rehearsal, a staging and a production deploy all ship. The same inputs make
the same bytes (docs/bundle.md).
"""
