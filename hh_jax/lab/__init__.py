"""A small world whose truth is known: dialogues, a gold judge and a crowd."""
