"""Benchmarks for airspeed velocity. FASTEM_BENCH=toy|regular|large chooses the sizes."""
