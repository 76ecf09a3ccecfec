import numpy as np
import pandas as pd
import pytest

from bundle.analysis.site_prediction import SitePrediction
from bundle.site_findings import CLUSTERED, GIVEN, _on_codes


def prediction(p_value):
    return SitePrediction(0.6, 0.5, 0.7, 0.4, 0.6, p_value, {"A": 0.6, "B": 0.6})


@pytest.mark.parametrize("is_harmonised", [True, False])
def test_what_could_not_be_tested_is_not_called_chance(is_harmonised):
    found = {GIVEN: prediction(np.nan), CLUSTERED: prediction(np.nan)}
    text = " ".join(_on_codes(found, pd.Series(["A", "B"], name="site"), "harmonised", is_harmonised))
    assert "was not tested: no two families are alike; balanced accuracy 0.60" in text
    for verdict in ("by chance.", "better than by chance", "Nothing of the sites", "nothing here asks", "can still"):
        assert verdict not in text


@pytest.mark.parametrize(("p_value", "verdict"), [(0.01, "can be told"), (0.5, "cannot be told better than by chance")])
def test_what_was_tested_has_its_verdict(p_value, verdict):
    (first, *_) = _on_codes({GIVEN: prediction(p_value)}, pd.Series(["A", "B"], name="site"), "", False)
    assert f"families {verdict}: " in first and "not tested" not in first
