"""How a stage is started: its command line checked, its process set up, and a stage run from another one."""
