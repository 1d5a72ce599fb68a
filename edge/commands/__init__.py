"""The commands of the runtime, one file each. The top level of each imports only the standard library: help is instant."""
