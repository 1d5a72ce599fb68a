"""The commands of the workstation, one file each. Heavy imports wait until the arguments are parsed."""
