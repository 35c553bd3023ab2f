"""From a training run to a bundle that devices run, with proof that the decisions stayed the same."""
