"""Models made of models: the weighted mean of members of any family."""
