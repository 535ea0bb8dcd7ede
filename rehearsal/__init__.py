"""Rehearsals: a small platform on this machine, under real load over real wires,
for the demo and the tests.

Lives here: the platform (broker, database, Kubernetes API emulator, producers,
consumers), its exporter, the demo.
Never here: anything a deployed service needs; nothing in production imports this.
"""
