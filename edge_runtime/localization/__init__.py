"""From a picture to the things that lie on the belt: boxes, with what of them is body."""
