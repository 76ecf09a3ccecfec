"""The bundle's own code: `stages` are what commands run, everything else is what they read, call and write with."""
