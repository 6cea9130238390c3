"""The interface where people compare replies, and the way back into training.

1. `schema` and `database` hold facts that are written once and never changed;
   `work` writes what a worker does and `view` tells where the worker is.
2. `policies` answer; `live` lets two of them write at the same pace.
3. `app` serves pages and commands; `security` says who may do what.
4. `measures` and `drawings` make the researcher's pages, `export` the files
   that training reads.
5. `crowd` is the lab's workers as clients of the real interface.

Reference: Bai et al. 2022, section 2, appendix D, figures 6, 41 and 42.
"""
