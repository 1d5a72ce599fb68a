"""How good a model is, on cells and slides that nothing was fitted on: the tables and figures of the paper."""
