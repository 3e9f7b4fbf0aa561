from __future__ import annotations

from recorded_runs import SECRET, failed_run, hide
from shipit.events import Noted, Outcome, RunEnded
from shipit.output.redaction import Redactor, redacted


def test_a_secret_is_hidden_however_deep_it_lies() -> None:
    value = {"a": [SECRET, (1, {SECRET: None})], "b": Noted(SECRET)}
    assert redacted(value, hide) == {"a": ["***", (1, {"***": None})], "b": Noted("***")}


def test_what_is_not_text_stays_what_it_is() -> None:
    ended = redacted(failed_run()[-1], hide)
    assert isinstance(ended, RunEnded)
    assert ended.hosts["web1"].outcome is Outcome.ROLLED_BACK
    assert ended.exit_status == 4


def test_events_pass_on_masked() -> None:
    assert redacted(Noted(f"key={SECRET}", "web1"), hide) == Noted("key=***", "web1")


def test_a_redactor_masks_the_secrets_that_it_knows_so_far() -> None:
    redactor = Redactor()
    assert redactor(f"{SECRET} and other") == f"{SECRET} and other"
    redactor.learn(hide)
    redactor.learn(lambda text: text.replace("other", "..."))
    assert redactor(f"{SECRET} and other") == "*** and ..."
