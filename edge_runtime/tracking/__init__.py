"""From things in pictures to fruit, one number each, and where the belt is."""
