"""How fast the shipped pipeline is beside other ways to run the same network: measured in one run, in turns."""
