"""Scripts: one a stage, and the pipeline of all of them."""
