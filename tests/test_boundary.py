"""What `contained` lets out and what it does not."""

from __future__ import annotations

import asyncio

import pytest

from studio import PluginError, contained
from studio.boundary import EXITS

pytestmark = pytest.mark.pure


def fail(error):
    raise error


def test_an_error_ends_with_the_block_and_is_kept():
    with contained() as failed:
        fail(ValueError("bad"))
    assert str(failed.error) == "bad"


def test_what_goes_well_leaves_no_error():
    with contained(lambda error: pytest.fail(str(error))) as failed:
        pass
    assert failed.error is None


def test_what_is_told_of_the_error_is_raised_from_it():
    bad = ValueError("bad")
    with (
        pytest.raises(PluginError, match="it is bad") as caught,
        contained(lambda e: PluginError(f"it is {e}")),
    ):
        fail(bad)
    assert caught.value.__cause__ is bad


def test_an_error_that_is_right_as_it_is_goes_on_unchanged():
    bad = ValueError("bad")
    with pytest.raises(ValueError, match="bad") as caught, contained(lambda error: error):
        fail(bad)
    assert caught.value is bad
    assert caught.value.__cause__ is None


def test_an_error_that_nobody_says_anything_to_is_over():
    heard = []
    with contained(heard.append):
        fail(KeyError("gone"))
    assert [type(error) for error in heard] == [KeyError]


@pytest.mark.parametrize(
    "error", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()]
)
def test_neither_an_exit_nor_a_cancellation_is_an_error(error):
    with pytest.raises(type(error)), contained():
        fail(error)


def test_an_exit_can_be_contained_and_a_cancellation_goes_on():
    with contained(kinds=EXITS) as failed:
        fail(SystemExit(3))
    assert isinstance(failed.error, SystemExit)
    with pytest.raises(asyncio.CancelledError), contained(kinds=EXITS):
        fail(asyncio.CancelledError())


def test_the_user_at_the_keyboard_is_always_heard():
    with contained(kinds=BaseException) as failed:
        fail(asyncio.CancelledError())
    assert isinstance(failed.error, asyncio.CancelledError)
    with pytest.raises(KeyboardInterrupt), contained(kinds=BaseException):
        fail(KeyboardInterrupt())
