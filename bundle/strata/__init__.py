"""Strata for people to read: tables and pictures of what `bundle.analysis` found."""
