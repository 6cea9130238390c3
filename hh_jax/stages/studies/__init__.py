"""What the paper's figures measure; each study serves several figures.

A study trains or finds the models it needs and returns plain numbers. It draws
nothing: that is `hh_jax.report`'s.
"""
