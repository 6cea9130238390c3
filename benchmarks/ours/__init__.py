"""Our side of every benchmark, through the library's own functions."""
