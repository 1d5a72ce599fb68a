"""The commands of the runtime, one file each. Their top level imports only the standard library: help is instant."""
