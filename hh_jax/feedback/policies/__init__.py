"""Who answers: checkpoints, best of k, servers elsewhere, stock sentences."""
