"""The workstation side: trains the networks and turns them into a signed bundle. Heavy dependencies live here."""
