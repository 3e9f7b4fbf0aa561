"""Ask for one URL and print what came back as JSON: {"status", "body"} or {"error"}.

This file is run on a machine, by its Python alone with headers as JSON:
`python3 -I - URL SECONDS HEADERS < glance.py`. There 127.0.0.1 is what a health check means by it:
a second opinion that owes nothing to the agent.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

BODY_LIMIT = 65536  # bytes


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def look(url: str, seconds: float, headers: dict[str, str]) -> dict[str, object]:
    """Return the status and the beginning of the body, or in words why there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs)
    try:
        asked = urllib.request.Request(url, headers=headers)  # noqa: S310 - as a check has it
        with opener.open(asked, timeout=seconds) as answer:
            return {
                "status": answer.status,
                "body": answer.read(BODY_LIMIT).decode(errors="replace"),
            }
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code, "body": error.read(BODY_LIMIT).decode(errors="replace")}
    except (OSError, ValueError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3]))))
