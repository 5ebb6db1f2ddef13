"""What several test folders use: clusters, stores and servers."""
