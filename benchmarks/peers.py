"""The peers of `fastem bench`, and Armadillo, which has to be compiled."""

from __future__ import annotations

from benchmarks import armadillo
from fastem.bench import peers

PEERS = {**peers.PEERS, "Armadillo": peers.Peer(armadillo.version, armadillo.fit, peers.FULL_AND_DIAGONAL)}
