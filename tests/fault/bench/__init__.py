"""The fault benches: what breaks the daemon on purpose, counts what came of it, and goes on where it was interrupted.

python -m tests.fault.bench             lists the benches
python -m tests.fault.bench run NAME    runs or resumes one (docs/fault-bench.md)
"""
