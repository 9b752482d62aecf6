"""Bars: where someone looks, unless the caller says otherwise."""

import logging
import sys

import pytest

from petro_models.inference import progress


@pytest.mark.parametrize("watching", [True, False])
def test_what_was_asked_goes_before_who_is_looking(
    watching: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watching)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert progress.is_watched() is watching
    for asked in (True, False):
        with progress.shown(asked):
            assert progress.is_watched() is asked
    assert progress.is_watched() is watching


def test_a_bar_that_is_not_shown_still_says_in_the_log_where_it_ended(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress.logger, "propagate", True)
    with (
        caplog.at_level(logging.INFO, progress.logger.name),
        progress.bar("pixels", show=False) as update,
    ):
        update(0.5, "5 of 10")
        update(1.0, "10 of 10")
    assert "pixels: 10 of 10" in caplog.text
    assert "10 of 10" not in capsys.readouterr().out


def test_a_bar_leaves_the_log_to_a_caller_who_has_more_to_say(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.logger, "propagate", True)
    with (
        caplog.at_level(logging.INFO, progress.logger.name),
        progress.bar("chains", show=False, log=False) as update,
    ):
        update(1.0, "10 of 10")
    assert not caplog.text
