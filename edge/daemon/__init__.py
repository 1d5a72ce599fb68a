"""The daemon: a supervisor that keeps the books, and children that touch what can hang or crash.

`supervisor.py` is the one loop and owns the journal; it needs the standard library and the configuration only.
`scanner.py`, one child per source, looks at the export folder and copies a settled slide into the spool.
`worker.py`, one child, decodes and analyzes a spooled slide. `deliver.py`, one child per output, stages and publishes
results and reads acknowledgements. `channel.py` is how they talk: length-prefixed bytes, every size capped.
"""
