"""Participants of three sites whose scanners do known things to values."""

import numpy as np
import pandas as pd

from bundle.analysis.sites import Sites

E = 24
STRONG = np.append(np.linspace(12, 4, 6), np.ones(E - 6))
"""Sizes of values of which six stand out."""


def planted(n=600, seed=0, sites=("A", "B", "C")):
    """Values with shifts, spreads and an age effect, what they would be without sites, and who the participants are.

    Participants at later sites are older, so that whoever ignores age takes it for the site.
    """
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(100)  # the scanners are the same whoever is scanned
    shift, scale, slope = truth.normal(0, 2, (3, E)), truth.uniform(0.6, 1.8, (3, E)), truth.normal(0, 0.2, E)
    site_of = rng.integers(0, len(sites), n)
    age = rng.uniform(20, 40, n) + 4 * site_of
    own = rng.standard_normal((n, E))
    values = own * scale[site_of] + shift[site_of] + np.outer(age - 30, slope)
    clean = own + np.outer(age - 30, slope)
    names = [f"sub-{number:04d}" for number in range(n)]
    labels = pd.Series(np.array(sites)[site_of], index=names, name="site")
    return (
        values,
        clean,
        Sites(labels, pd.DataFrame({"age_years": age, "sex": rng.choice(["F", "M"], n)}, index=names)),
        slope,
    )
