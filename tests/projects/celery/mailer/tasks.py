from mailer.worker import app


@app.task
def digest() -> str:
    return "sent"
