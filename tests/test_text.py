"""Is what people read one safe line, and are durations in units that fit?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin.text import duration, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, Zürich, 中文", "plain text, Zürich, 中文"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("caf\udce9", "caf\\udce9"),  # a byte of a file's name that is no UTF-8
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str):
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_is_one_line_of_valid_utf_8_and_stays_as_it_is(text: str):
    shown = printable(text)
    assert len(shown.encode().decode().splitlines()) <= 1
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0421, "0.0421 s"),
        (4.2, "4.2 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (32_700, "9 h 5 min"),
    ],
)
def test_a_duration_is_in_the_units_that_fit(seconds: float, written: str):
    assert duration(seconds) == written
