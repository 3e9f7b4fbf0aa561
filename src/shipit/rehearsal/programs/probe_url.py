"""Request one URL and print the answer as JSON: {"status", "body"} or {"error"}.

Runs on a machine with its Python alone, headers as JSON:
`python3 -I - URL SECONDS HEADERS < probe_url.py`. It is a second opinion that is independent of the
agent; 127.0.0.1 is the machine's own, as in a health check.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

BODY_LIMIT = 65536  # bytes


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Don't follow redirects: they are answers like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def probe(url: str, seconds: float, headers: dict[str, str]) -> dict[str, object]:
    """Return the status and the beginning of the body, or the error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs)
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - as a check has it
        with opener.open(request, timeout=seconds) as answer:
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
    sys.stdout.write(json.dumps(probe(sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3]))))
