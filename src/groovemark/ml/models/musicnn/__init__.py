"""The 50 tags of MusiCNN, as a ready classifier whose weights the user imports."""
