"""Sites (scanners): who is where, what is harmonised over them, and what is said of embeddings, strata and phenotypes by site."""
