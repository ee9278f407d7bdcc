"""RelP-SAE: how faithful are cheap attribution scores of SAE features to exact intervention?"""
