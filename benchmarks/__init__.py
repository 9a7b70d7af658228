"""Side-by-side benchmarks: chatstep and its peers, each in a process of its own, against a canned server on loopback.

``python -m benchmarks [NAME...]``, run from the project root, prints the tables and rewrites ``benchmarks/RESULTS.md``.
Figures are CPU time per operation of the client process (user + system, all its threads), because wall time on a shared
machine says little. Nothing here is imported by the library or by its tests.
"""
