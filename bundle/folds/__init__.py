"""Cross-validation: what its folds are made with, how they are run side by side, and how their figures look together."""
