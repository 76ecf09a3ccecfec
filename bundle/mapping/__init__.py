"""From raw scans to maps: pure functions on arrays, one idea a file."""
