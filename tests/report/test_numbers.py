import pytest

from bundle.report.numbers import digits, least_p, p_value, share


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.43, "0.43"), (0.0312, "0.031"), (0.0032, "0.003"), (0.0001, "0.0001"), (1e-9, "< 0.0001"), (None, "n/a")],
)
def test_p_values_are_written_for_people(value, text):
    assert p_value(value) == text


def test_other_numbers_are_written_for_people():
    assert share(0.256) == "26 %" and share(0.004) == "0.4 %" and digits(2)(-0.001) == "0.00"
    assert least_p(9999) == "0.0001 is the least that 9,999 permutations can give."
