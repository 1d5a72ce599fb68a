"""Renderings of one record: JSON, HL7 v2.5.1 and the HTML report.

Every writer is pure: the same record gives the same bytes, on every machine and at every time. The text writers import
nothing but the standard library, because the process that keeps the books runs them.
"""
