"""What the catalog knows: genres, and the titles of a genre."""
