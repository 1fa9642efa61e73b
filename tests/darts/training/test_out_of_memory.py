"""A step that runs out of memory is repeated in smaller parts."""

import pytest

from darts.training.out_of_memory import retry_smaller


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory\nmore"), MemoryError("no room")])
def test_an_attempt_is_repeated_with_the_reason(error):
    reasons = []

    def attempt():
        if len(reasons) < 2:
            raise error
        return "done"

    assert retry_smaller(attempt, reasons.append) == "done"
    assert len(reasons) == 2 and reasons[0] and "\n" not in reasons[0]


def test_other_errors_are_passed_on():
    def attempt():
        raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        retry_smaller(attempt, lambda reason: None)
