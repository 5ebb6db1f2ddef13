"""What a study is: reads a search-space file, checks it, and makes the trials it consists of."""
