import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madoguchi.domain.reference import ALPHABET, LENGTH, is_reference, new_reference, normalise_reference

property_test = settings(max_examples=200, deadline=None, database=None, print_blob=True)


def drawn(numbers):
    """A fake random source: hands out `numbers` and checks what it is asked for."""
    left = iter(numbers)

    def below(limit):
        assert limit == len(ALPHABET)
        return next(left)

    return below


def test_a_reference_is_the_prefix_a_hyphen_and_six_drawn_signs():
    assert new_reference("M", drawn([0, 1, 2, 3, 4, 5])) == "M-" + ALPHABET[:6]


@given(st.sampled_from("MRA"), st.lists(st.integers(0, len(ALPHABET) - 1), min_size=LENGTH, max_size=LENGTH))
@property_test
def test_every_new_reference_is_one_and_is_read_back_however_it_is_typed(prefix, numbers):
    reference = new_reference(prefix, drawn(numbers))
    full_width = "".join(chr(ord(sign) + 0xFEE0) for sign in reference)

    assert is_reference(reference)
    for typed in (reference, reference.lower(), reference.replace("-", ""), f"  {reference}\n", full_width):
        assert normalise_reference(typed) == reference


@pytest.mark.parametrize("alike", ["0OQD", "1IL", "5S", "8B", "2Z", "6G", "UVWY"])
def test_of_signs_that_look_alike_at_most_one_pair_remains(alike):
    assert len(set(alike) & set(ALPHABET)) <= (2 if alike == "UVWY" else 1)


def test_no_vowel_so_no_word():
    assert not set("AEIOU") & set(ALPHABET)


@pytest.mark.parametrize(
    "typed",
    [
        "M-7K2Q9F",
        "m-7k2q9f",
        "m7k2q9f",
        "M 7K2 Q9F",
        "Ｍ－７Ｋ２Ｑ９Ｆ",
        "ｍー７ｋ２ｑ９ｆ",
        "M—7K2Q9F",
        "　M‐7K2Q9F　",
        "M−7K2-Q9F",
    ],
)
def test_what_a_clerk_types_is_read(typed):
    assert normalise_reference(typed) == "M-7K2Q9F"


@pytest.mark.parametrize(
    "typed", ["", "M-", "7K2Q9F", "M-7K2Q9", "M-7K2Q9FF", "M-7K2Q90", "M-7K2Q9O", "M_7K2Q9F", "山田"]
)
def test_anything_else_is_an_error_that_does_not_repeat_what_was_typed(typed):
    assert not is_reference(typed)
    with pytest.raises(ValueError, match="not a reference") as error:
        normalise_reference(typed)
    assert not typed or typed not in str(error.value).replace("M-7K2Q9F", "")


@pytest.mark.parametrize("typed", ["m-7K2Q9F", "M7K2Q9F", "M-7K2Q9F\n", "Ｍ-7K2Q9F"])
def test_only_the_exact_form_is_a_reference(typed):
    assert not is_reference(typed)


@pytest.mark.parametrize("prefix", ["", "m", "MM", "1", "山"])
def test_a_prefix_is_one_capital_letter(prefix):
    with pytest.raises(ValueError, match="one letter"):
        new_reference(prefix, lambda _: 0)
