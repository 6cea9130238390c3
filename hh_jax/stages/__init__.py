"""One file a stage of the paper; here the world (lab or hh) is chosen."""
