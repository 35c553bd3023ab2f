"""A conveyor line with ground truth: drawn fruit, a belt, a camera, and the score of decisions."""
