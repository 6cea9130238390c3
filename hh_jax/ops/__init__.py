"""Array operations: arrays in, arrays out, no configs and no models."""
