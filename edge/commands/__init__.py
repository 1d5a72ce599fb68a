"""The commands of the runtime, one file each. Their top level imports the standard library only: `--help` is instant."""
