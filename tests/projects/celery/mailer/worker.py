"""The Celery application."""

import os

from celery import Celery
from celery.schedules import crontab

app = Celery("mailer", broker=os.environ["REDIS_URL"], include=["mailer.tasks"])
app.conf.beat_schedule = {
    "digest": {"task": "mailer.tasks.digest", "schedule": crontab(hour=7, minute=0)},
}
