"""One file for each family of architectures: a declaration, nothing else."""
