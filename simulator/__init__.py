"""A conveyor line with ground truth: procedural fruit, a moving belt, a camera, and the score of decisions against it."""
