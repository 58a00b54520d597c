"""What a batch looked like, in the words in which the training data is described."""
