"""Statistics: arrays and tables in, arrays and tables out; nothing here reads a file or draws.

Strata: `strata_search` puts together `code_space`, `cluster_choice`, `gap_test`, `strata_null`, `strata_quality` and `ballots`;
`stratifier` gives new participants to what was found. Phenotypes: `phenotype_cohort`, `factors`, `groupings`, `phenotyping`,
`group_tests`, `continuum`, `discovery`. Sites: `combat`, `site_prediction`, `site_tables`. Families are exchanged and
drawn whole everywhere (`exchange`, `family_draws`), and covariates regressed out by one model (`covariates`).
"""
