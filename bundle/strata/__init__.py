"""Strata for participants to read: tables and pictures of what `bundle.analysis` found."""
