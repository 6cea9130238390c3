"""What finished models are asked, one idea a file."""
