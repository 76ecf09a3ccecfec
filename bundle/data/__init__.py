"""What lies on disk: cohorts, tables, images and the synthetic cohort; read, checked and written."""
