"""Studies: many trainings that differ in one thing, and one table of them."""
