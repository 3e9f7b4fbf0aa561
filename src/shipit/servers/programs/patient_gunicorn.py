"""gunicorn's command line, and uvicorn's worker with the protocol of `patient_uvicorn`.

python patient_gunicorn.py myapp:app --worker-class patient_gunicorn.PatientWorker
"""

from __future__ import annotations

from gunicorn.app.wsgiapp import run
from patient_uvicorn import PatientProtocol
from uvicorn_worker import UvicornWorker


class PatientWorker(UvicornWorker):
    CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": PatientProtocol}  # noqa: RUF012 - its form


if __name__ == "__main__":
    run()
