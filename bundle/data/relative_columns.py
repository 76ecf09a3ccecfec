"""Columns that name relatives, whatever they are called."""

from __future__ import annotations

import re

PERSON_COLUMN = "person_id"
"""Scans of one participant, who has a participant_id for each of them."""

FAMILIES = "family|fam|pedigree"
RELATIVES = (
    "mother|mum|mom|maternal|mat|father|dad|paternal|pat|parent[12]?|twin|cotwin|triplet|sibling|sib|sibship|brother|sister|"
    "relative"
)
ID = "id|ids|iid|identifier|key"
NUMBER = f"{ID}|embedding|no|nr|num|number|label"
"""Of families only: `twin_number` may be 1 or 2, `sibling_no` how many there are."""
FAMILY = re.compile(rf"(rel|bio|biological|genetic)?({FAMILIES})({NUMBER})|({ID})({FAMILIES})|fid|family|families")
IDS = re.compile(
    rf"(rel|bio|biological|genetic)?({FAMILIES})(group)?({NUMBER})\d?|({ID}|idof)({FAMILIES}|{RELATIVES})|fid|"
    rf"(bio|biological|genetic)?({RELATIVES})(pair|group|set|of)?({ID})\d?|(twin|sibling|sib|cotwin)of|cotwin|(twin|sibling|sib)pair|"
    r"personid"
)
"""Names in lower case without anything but letters and digits; `rel_family_id` is ABCD's, `paternal_id` PLINK's."""


def plain(name: object) -> str:
    """A name as it is compared: letters and digits in lower case."""
    return re.sub(r"[\W_]", "", str(name)).casefold()


def is_relative_column(name: object) -> bool:
    """Whether equal values mean relatives or one participant: ids of families, parents, twins, siblings or participants, in any spelling."""
    return IDS.fullmatch(plain(name)) is not None


def is_family_column(name: object) -> bool:
    """Whether a column seems to be `family_id` by another name."""
    return FAMILY.fullmatch(plain(name)) is not None
