"""The other side, each peer as its users run it; needs the peers' packages."""
