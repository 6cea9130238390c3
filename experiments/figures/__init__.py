"""The paper's figures, one script a figure."""
