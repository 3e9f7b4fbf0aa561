"""What is broken in this release: nothing, unless it was built broken.

healthz  answers its health check with 500
start    does not start
late     dies two seconds after it started
"""

FAULT = ""  # `prepare.py --broken` builds a wheel with another value here
