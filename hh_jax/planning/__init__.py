"""What a stage needs on a pod: memory, collectives, time. Nothing is run."""
