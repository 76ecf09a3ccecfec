"""Sites (scanners): who is where, what is harmonised over them, and what is said of codes, strata and phenotypes by site."""
