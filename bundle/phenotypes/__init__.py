"""Phenotyping: what it is given, checked, and what it found as tables, pictures and notes."""
