"""Engines: what turns batches of images into the network's outputs. One file per inference library."""
