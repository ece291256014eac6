import pytest

from madoguchi.domain.mail_lane import OTHER, lane_of
from madoguchi.domain.office import TermsPolicy

POLICY = TermsPolicy(
    per_second={"gmail.com": 20.0, "docomo.ne.jp": 5.0, "vodafone.ne.jp": 4.0, "t.vodafone.ne.jp": 3.0}
)


@pytest.mark.parametrize(
    ("address", "lane"),
    [
        ("mihon@gmail.com", "gmail.com"),
        ("mihon@GMAIL.com", "gmail.com"),
        ("mihon@gmail.com.", "gmail.com"),
        ("mihon..hanako.@docomo.ne.jp", "docomo.ne.jp"),
        ("mihon@d.vodafone.ne.jp", "vodafone.ne.jp"),
        ("mihon@t.vodafone.ne.jp", "t.vodafone.ne.jp"),
        ("mihon@notgmail.com", OTHER),
        ("mihon@gmail.com.example.jp", OTHER),
        ("mihon@example.jp", OTHER),
        ("mihon", OTHER),
        ("", OTHER),
    ],
)
def test_an_address_goes_by_the_longest_listed_domain_that_it_belongs_to(address, lane):
    assert lane_of(address, POLICY) == lane


def test_without_listed_domains_there_is_one_lane():
    assert lane_of("mihon@gmail.com", TermsPolicy()) == OTHER
