"""TFDS builder of the released comparisons; imports nothing by itself."""
