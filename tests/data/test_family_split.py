import pytest

from bundle.data.cohort_folder import items_from_folder
from bundle.data.family_split import split_by_family
from tests.conftest import PATTERNS

MODALITIES = ["T1w", "JAC"]


def test_whole_families_are_split(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, MODALITIES)
    sections = split_by_family(items, 0.2, 0.2, seed=0)
    families = [{item["family_id"] for item in sections[name]} for name in sections]
    assert sum(len(members) for members in sections.values()) == len(items)
    assert not families[0] & families[1] and not families[0] & families[2] and not families[1] & families[2]


def test_split_follows_the_seed_only(tiny_cohort):
    items = items_from_folder(tiny_cohort, PATTERNS, MODALITIES)
    assert split_by_family(items, 0.2, 0.2, 0) == split_by_family(items, 0.2, 0.2, 0)
    assert split_by_family(items, 0.2, 0.2, 0) != split_by_family(items, 0.2, 0.2, 1)


def test_too_few_families_are_refused(tiny_cohort):
    items = [item | {"family_id": "one"} for item in items_from_folder(tiny_cohort, PATTERNS, MODALITIES)]
    with pytest.raises(ValueError, match="1 families cannot fill"):
        split_by_family(items, 0.2, 0.2, 0)
