"""From the views of one fruit to its verdict. Pure."""
